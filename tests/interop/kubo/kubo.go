// SPDX-License-Identifier: Apache-2.0

//go:build never

// Package kubo names what `make interop` builds: go.mod says which release, go.sum the hashes of all of it.
package kubo

import _ "github.com/ipfs/kubo/cmd/ipfs"
