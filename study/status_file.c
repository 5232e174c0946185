/* SPDX-License-Identifier: Apache-2.0 */
#include "study/status_file.h"

#include <stdlib.h>

#include "base/log.h"

json_t *status_file_cid(const struct cid *cid)
{
    char text[CID_TEXT_MAX];
    return cid_is_none(cid) ? json_null() : json_string(cid_format(cid, text));
}

static json_t *number_or_null(double value)
{
    return value < 0 ? json_null() : json_real(value);
}

json_t *status_file_progress(const struct progress *p)
{
    char sentence[PROGRESS_TEXT_MAX];
    if (p->what == NULL)
        return json_null();
    return json_pack("{s:s,s:s,s:I,s:I,s:o,s:o,s:s}", "what", p->what, "unit",
                     progress_unit_name(p->unit), "done", (json_int_t)p->done, "total",
                     (json_int_t)p->total, "per_second", number_or_null(progress_rate(p)),
                     "seconds_left", number_or_null(progress_seconds_left(p)), "sentence",
                     progress_format(p, sentence));
}

void status_file_save(const struct files *f, const char *dir, json_t *object)
{
    char path[FILES_PATH_MAX];
    char *text = object == NULL ? NULL : json_dumps(object, JSON_PRESERVE_ORDER | JSON_INDENT(1));
    struct err err = {0};
    if (text == NULL)
        log_warn("status-failed", "why=\"it cannot be written as JSON\"");
    else if (files_join(path, dir, "status.json", &err) != 0 ||
             files_save_unsynced(f, path, bytes_of_text(text), &err) != 0)
        log_warn("status-failed", "why=\"%s\"", err.text);
    free(text);
    json_decref(object);
}
