/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON for programs (RFC 8259), written member by member with two spaces of indentation. The
 * caller keeps objects and arrays balanced; commas are set here.
 */
#ifndef MTLS_CLI_JSON_H
#define MTLS_CLI_JSON_H

#include "common/wire.h"

struct json {
    struct wire_writer *out; /* borrowed; sticky failure */
    unsigned int depth;
    bool has_member; /* of the innermost object or array */
    bool is_compact; /* all in one line */
};

#define JSON_INIT(writer) ((struct json){.out = (writer)})

/* @name: of the member; NULL inside an array and at the top. */
void json_begin_object(struct json *json, const char *name);
void json_end_object(struct json *json);
void json_begin_array(struct json *json, const char *name);
void json_end_array(struct json *json);

/** json_put_text() - any bytes; those that are not UTF-8 become U+FFFD; NULL becomes null. */
void json_put_text(struct json *json, const char *name, const char *text);
void json_put_uint(struct json *json, const char *name, uint64_t value);
void json_put_bool(struct json *json, const char *name, bool value);
/** json_put_ms() - milliseconds with three decimals, from microseconds. */
void json_put_ms(struct json *json, const char *name, uint64_t us);

/** json_finish() - the line end after the outermost value. */
void json_finish(struct json *json);

#endif
