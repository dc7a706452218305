/* SPDX-License-Identifier: Apache-2.0 */
/* Times in words; see expiry.h. */
#include "client/cli/expiry.h"

#include <stdio.h>

#include "common/cleanup.h"

#define MINUTE 60
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define MONTH (30 * DAY + DAY / 2)
#define YEAR (365 * DAY + DAY / 4)

/* A unit is used from @from seconds on, so that "1 month" is never said of 59 days. */
static const struct {
    int64_t from;
    int64_t unit;
    const char *name;
} expiry_units[] = {
    {2 * YEAR, YEAR, "year"}, {60 * DAY, MONTH, "month"}, {2 * DAY, DAY, "day"},
    {2 * HOUR, HOUR, "hour"}, {MINUTE, MINUTE, "minute"}, {0, 1, "second"},
};

const char *expiry_format_duration(int64_t seconds, char buffer[static EXPIRY_TEXT_MAX])
{
    size_t i = 0;

    if (seconds < 0)
        seconds = 0;
    while (i + 1 < ARRAY_SIZE(expiry_units) && seconds < expiry_units[i].from)
        i++;
    long long count = seconds / expiry_units[i].unit;
    (void)snprintf(buffer, EXPIRY_TEXT_MAX, "%lld %s%s", count, expiry_units[i].name,
                   count == 1 ? "" : "s");
    return buffer;
}

const char *expiry_format(time_t not_before, time_t not_after, time_t now,
                          char buffer[static EXPIRY_TEXT_MAX])
{
    char duration[EXPIRY_TEXT_MAX];

    /* The cut is never reached: a duration is at most 20 digits and a word. */
    if (now > not_after)
        (void)snprintf(buffer, EXPIRY_TEXT_MAX, "expired %.32s ago",
                       expiry_format_duration((int64_t)now - not_after, duration));
    else if (now < not_before)
        (void)snprintf(buffer, EXPIRY_TEXT_MAX, "starts in %.32s",
                       expiry_format_duration((int64_t)not_before - now, duration));
    else
        (void)snprintf(buffer, EXPIRY_TEXT_MAX, "in %.32s",
                       expiry_format_duration((int64_t)not_after - now, duration));
    return buffer;
}

const char *expiry_format_rfc3339(time_t when, char buffer[static EXPIRY_TEXT_MAX])
{
    struct tm tm;

    if (!gmtime_r(&when, &tm) || strftime(buffer, EXPIRY_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        buffer[0] = '\0';
    return buffer;
}
