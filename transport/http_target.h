/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_target -- where a redirect may not lead: to this machine and to its link, where services
 * listen that trust whoever reaches them (a cloud's metadata at 169.254.169.254, a node's API).
 *
 * Loopback, link-local and unspecified addresses, IPv4 ones inside IPv6 too.
 */
#ifndef COLMEIA_TRANSPORT_HTTP_TARGET_H
#define COLMEIA_TRANSPORT_HTTP_TARGET_H

#include <stdbool.h>

struct sockaddr;

bool http_target_is_local(const struct sockaddr *address);
/* The host of a URL: a literal address, in brackets or not, or a name that means this machine. A
 * name that is only looked up later is not local here. */
bool http_target_is_local_host(const char *host);
/* The proxy that the environment names for http or https; NULL: none. http_proxy, and HTTP_PROXY
 * outside CGI, where a client could set that. */
const char *http_target_proxy(bool tls);

#endif
