/* SPDX-License-Identifier: Apache-2.0 */
/* Yes or no; see question.h. */
#include "client/cli/question.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "common/escape.h"

#define QUESTION_TERMINAL "/dev/tty"
#define QUESTION_MAX 4096

bool question_ask(const char *format, ...)
{
    _cleanup_fclose_ FILE *terminal = fopen(QUESTION_TERMINAL, "r+e");
    char question[QUESTION_MAX];
    char escaped[2 * QUESTION_MAX];
    char answer[16];
    va_list args;

    if (!terminal)
        return false;
    va_start(args, format);
    (void)vsnprintf(question, sizeof(question), format, args);
    va_end(args);
    (void)fprintf(terminal, "%s [y/N] ", escape_cstring(question, escaped, sizeof(escaped)));
    (void)fflush(terminal);
    if (!fgets(answer, sizeof(answer), terminal))
        return false;
    answer[strcspn(answer, "\n")] = '\0';
    return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}
