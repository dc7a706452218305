/* SPDX-License-Identifier: Apache-2.0 */
/* Times in words: units, their borders, and the three tenses. */
#include "client/cli/expiry.h"

#include "unit.h"

#define DAY (24 * 3600)
#define NOW ((time_t)1800000000)

static const struct {
    int64_t seconds;
    const char *text;
} durations[] = {
    {-5, "0 seconds"},
    {0, "0 seconds"},
    {1, "1 second"},
    {59, "59 seconds"},
    {60, "1 minute"},
    {7199, "119 minutes"},
    {7200, "2 hours"},
    {2 * DAY - 1, "47 hours"},
    {2 * DAY, "2 days"},
    {59 * DAY, "59 days"},
    {100 * DAY, "3 months"},
    {729 * DAY, "23 months"},
    {731 * DAY, "2 years"},
    {3650 * (int64_t)DAY, "9 years"},
    {INT64_MAX, "292271023045 years"},
};

static void test_duration_uses_the_unit_a_person_would(void **state)
{
    char buffer[EXPIRY_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++)
        assert_string_equal(expiry_format_duration(durations[i].seconds, buffer),
                            durations[i].text);
}

static void test_format_of_a_valid_certificate_counts_to_its_end(void **state)
{
    char buffer[EXPIRY_TEXT_MAX];

    (void)state;
    assert_string_equal(expiry_format(NOW - DAY, NOW + 100 * DAY, NOW, buffer), "in 3 months");
}

static void test_format_of_the_last_second_is_still_valid(void **state)
{
    char buffer[EXPIRY_TEXT_MAX];

    (void)state;
    assert_string_equal(expiry_format(NOW - DAY, NOW, NOW, buffer), "in 0 seconds");
}

static void test_format_of_an_expired_certificate_counts_from_its_end(void **state)
{
    char buffer[EXPIRY_TEXT_MAX];

    (void)state;
    assert_string_equal(expiry_format(NOW - 10 * DAY, NOW - 5 * DAY, NOW, buffer),
                        "expired 5 days ago");
}

static void test_format_of_a_future_certificate_counts_to_its_start(void **state)
{
    char buffer[EXPIRY_TEXT_MAX];

    (void)state;
    assert_string_equal(expiry_format(NOW + 2 * DAY, NOW + 9 * DAY, NOW, buffer),
                        "starts in 2 days");
}

static void test_rfc3339_is_in_utc(void **state)
{
    char buffer[EXPIRY_TEXT_MAX];

    (void)state;
    assert_string_equal(expiry_format_rfc3339(NOW, buffer), "2027-01-15T08:00:00Z");
    assert_string_equal(expiry_format_rfc3339((time_t)253402300799, buffer),
                        "9999-12-31T23:59:59Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration_uses_the_unit_a_person_would),
        cmocka_unit_test(test_format_of_a_valid_certificate_counts_to_its_end),
        cmocka_unit_test(test_format_of_the_last_second_is_still_valid),
        cmocka_unit_test(test_format_of_an_expired_certificate_counts_from_its_end),
        cmocka_unit_test(test_format_of_a_future_certificate_counts_to_its_start),
        cmocka_unit_test(test_rfc3339_is_in_utc),
    };
    return cmocka_run_group_tests_name("cli-expiry", tests, NULL, NULL);
}
