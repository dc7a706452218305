/* SPDX-License-Identifier: Apache-2.0 */
/* Where one more provider goes in a JVM's list. */
#include "client/cli/java_security.h"

#include "unit.h"

static void test_the_idle_provider_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(java_security_provider_number("#\nsecurity.provider.tbd=x\n"
                                                   "security.provider.1=SUN\n"
                                                   "security.provider.11=JdkSASL\n"
                                                   "security.provider.12=SunPKCS11\n"),
                     12);
    assert_int_equal(java_security_provider_number("security.provider.3=SunPKCS11 \r\n"), 3);
}

static void test_else_it_is_the_last(void **state)
{
    (void)state;
    assert_int_equal(java_security_provider_number("security.provider.1=SUN\n"
                                                   "security.provider.2=SunPKCS11 /etc/other.cfg\n"
                                                   "# security.provider.3=SunPKCS11\n"),
                     3);
    assert_int_equal(java_security_provider_number("security.provider.1=SunPKCS11x"), 2);
    assert_int_equal(java_security_provider_number(""), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_idle_provider_is_replaced),
        cmocka_unit_test(test_else_it_is_the_last),
    };
    return cmocka_run_group_tests_name("cli-java-security", tests, NULL, NULL);
}
