/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drop-in of agent.conf by which `mtls setup` lets one key sign bare digests. It remembers for
 * which programs it was made and goes with the last of them. Pure.
 */
#ifndef MTLS_CLI_DROP_IN_H
#define MTLS_CLI_DROP_IN_H

#include <stdbool.h>

#include "client/lib/mtls-agent.h"
#include "common/cleanup.h"
#include "common/wire.h"

/* After the user's own drop-ins: what a later file says of a key counts. */
#define DROP_IN_PREFIX "zz-mtls-setup-"
#define DROP_IN_SUFFIX ".conf"
#define DROP_IN_LINE_MAX 190      /* agent.conf allows 198 bytes with the line's end */
#define DROP_IN_SECTION_MAX 48    /* of "key NAME" */
#define DROP_IN_PROGRAMS_MAX 160u /* bytes of the programs' names */

/** drop_in_is_section_name() - agent.conf takes it as the NAME of [key NAME], as it is. */
bool drop_in_is_section_name(const char *name);

/** drop_in_has_program() - the file @text was made for this program (as well). */
bool drop_in_has_program(const char *text, const char *program);

/**
 * drop_in_programs() - for which programs a file was made
 * @text:       of the file; "": none
 * @added:      one more, or NULL
 * @removed:    one fewer, or NULL
 *
 * Return: their names with blanks between, or "": none is left; in @programs.
 */
const char *drop_in_programs(const char *text, const char *added, const char *removed,
                             char programs[static DROP_IN_PROGRAMS_MAX]);

/**
 * drop_in_format() - append the file
 * @section:    NAME of [key NAME]
 * @uri:        NULL: the section has its uri in another file
 * @programs:   from drop_in_programs()
 */
void drop_in_format(const char *section, const char *uri, const char *programs,
                    struct wire_writer *out);

/** drop_in_change_programs() - append @text with the line that names them replaced. */
void drop_in_change_programs(const char *text, const char *programs, struct wire_writer *out);

#endif
