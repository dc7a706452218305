/* SPDX-License-Identifier: Apache-2.0 */
/* The list of providers; see java_security.h. */
#include "client/cli/java_security.h"

#include <stdlib.h>
#include <string.h>

#define JAVA_PROVIDER "security.provider."
#define JAVA_IDLE "SunPKCS11"
#define JAVA_NUMBER_MAX 1000ul

unsigned int java_security_provider_number(const char *text)
{
    unsigned long last = 0;
    size_t len = sizeof(JAVA_PROVIDER) - 1;

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, JAVA_PROVIDER, len) != 0)
            continue;
        char *end = NULL;
        unsigned long number = strtoul(line + len, &end, 10);
        if (*end != '=' || number == 0 || number > JAVA_NUMBER_MAX)
            continue;
        end++;
        size_t value_len = strcspn(end, "\r\n");
        while (value_len > 0 && (end[value_len - 1] == ' ' || end[value_len - 1] == '\t'))
            value_len--;
        if (value_len == sizeof(JAVA_IDLE) - 1 && strncmp(end, JAVA_IDLE, value_len) == 0)
            return (unsigned int)number;
        last = number > last ? number : last;
    }
    return (unsigned int)last + 1;
}
