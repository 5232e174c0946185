/* SPDX-License-Identifier: Apache-2.0 */
/*
 * descriptors -- a program that is started with one of its three standard streams closed.
 */
#ifndef COLMEIA_CLI_DESCRIPTORS_H
#define COLMEIA_CLI_DESCRIPTORS_H

/* Takes the numbers of those that are closed, so that no file that is opened later gets one and is
 * written to as the standard output. Reading from, or writing to, one of them stays an error. */
void descriptors_fill(void);

#endif
