/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission -- adds a site to a study's roster, whether the coordinator runs or not.
 *
 * The new roster is stored and synced before DIR/roster names it, so a running coordinator sees the
 * old one or the new one.
 */
#ifndef COLMEIA_COORDINATOR_ADMISSION_H
#define COLMEIA_COORDINATOR_ADMISSION_H

#include "coordinator/folder.h"

/* `name` gets the site's, `from` the first round that may select it. ERR_EXISTS if the site, its
 * name or one of its keys is there. */
int admission_add(const char *dir, const char *site_string, char name[SITE_NAME_MAX],
                  uint64_t *from, struct err *err) MUST_USE;

#endif
