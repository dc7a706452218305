/* SPDX-License-Identifier: Apache-2.0 */
/* Reading objects from a module that lies: a scripted function list stands in for it. */
#include <string.h>

#include "pkcs11/attribute.h"
#include "unit.h"

/* What the module answers next. */
static struct {
    CK_RV rv;
    CK_ULONG len;        /* the length that it claims */
    size_t written;      /* bytes that it really writes */
    CK_ULONG per_call;   /* handles for each C_FindObjects; may be more than asked for */
    CK_ULONG remaining;  /* handles that are left */
    unsigned int finals; /* calls of C_FindObjectsFinal */
} script;

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                 CK_ATTRIBUTE *attribute, CK_ULONG count)
{
    (void)session;
    (void)object;
    assert_int_equal(count, 1);
    memset(attribute->pValue, 1, script.written);
    attribute->ulValueLen = script.len;
    return script.rv;
}

static CK_RV find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *match, CK_ULONG count)
{
    (void)session;
    (void)match;
    (void)count;
    return CKR_OK;
}

static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *handles, CK_ULONG max,
                  CK_ULONG *count)
{
    (void)session;
    CK_ULONG found = script.per_call < script.remaining ? script.per_call : script.remaining;

    for (CK_ULONG i = 0; i < found && i < max; i++)
        handles[i] = script.remaining - i;
    script.remaining -= found;
    *count = found;
    return script.rv;
}

static CK_RV find_final(CK_SESSION_HANDLE session)
{
    (void)session;
    script.finals++;
    return CKR_OK;
}

static CK_FUNCTION_LIST calls = {.C_GetAttributeValue = get_attribute_value,
                                 .C_FindObjectsInit = find_init,
                                 .C_FindObjects = find,
                                 .C_FindObjectsFinal = find_final};
static const struct token token = {.calls = &calls, .session = 1};

static size_t get(CK_RV rv, CK_ULONG len, struct attribute_reader *reader)
{
    uint8_t buffer[16];

    script.rv = rv;
    script.len = len;
    script.written = len < sizeof(buffer) ? len : 0;
    return attribute_get(reader, CKA_ID, buffer, sizeof(buffer));
}

static void test_get_lengths(void **state)
{
    struct attribute_reader reader = {.token = &token, .lost = CKR_OK};

    (void)state;
    assert_int_equal(get(CKR_OK, 5, &reader), 5);
    assert_int_equal(get(CKR_OK, 0, &reader), 0);
    assert_int_equal(get(CKR_OK, 17, &reader), 0);
    assert_int_equal(get(CKR_OK, CK_UNAVAILABLE_INFORMATION, &reader), 0);
    assert_int_equal(get(CKR_ATTRIBUTE_TYPE_INVALID, 5, &reader), 0);
    assert_int_equal(get(CKR_ATTRIBUTE_SENSITIVE, CK_UNAVAILABLE_INFORMATION, &reader), 0);
    assert_int_equal(get(CKR_BUFFER_TOO_SMALL, 5, &reader), 0);
    assert_int_equal(reader.lost, CKR_OK);
}

static void test_get_is_sticky_after_loss(void **state)
{
    struct attribute_reader reader = {.token = &token, .lost = CKR_OK};

    (void)state;
    assert_int_equal(get(CKR_GENERAL_ERROR, 5, &reader), 0);
    assert_int_equal(reader.lost, CKR_OK);
    assert_int_equal(get(CKR_DEVICE_REMOVED, 5, &reader), 0);
    assert_int_equal(reader.lost, CKR_DEVICE_REMOVED);
    assert_int_equal(get(CKR_OK, 5, &reader), 0);
}

static void test_get_number_wrong_size(void **state)
{
    struct attribute_reader reader = {.token = &token, .lost = CKR_OK};
    CK_ULONG value = 7;

    (void)state;
    script.rv = CKR_OK;
    for (size_t len = 0; len < sizeof(value); len++) {
        script.len = script.written = len;
        assert_false(attribute_get_number(&reader, CKA_KEY_TYPE, &value));
    }
    assert_int_equal(value, 7);
    script.len = script.written = sizeof(value);
    assert_true(attribute_get_number(&reader, CKA_KEY_TYPE, &value));
}

static void test_get_bool_missing(void **state)
{
    struct attribute_reader reader = {.token = &token, .lost = CKR_OK};

    (void)state;
    script.rv = CKR_ATTRIBUTE_TYPE_INVALID;
    script.len = CK_UNAVAILABLE_INFORMATION;
    script.written = 0;
    assert_true(attribute_get_bool(&reader, CKA_SIGN, true));
    assert_false(attribute_get_bool(&reader, CKA_ALWAYS_AUTHENTICATE, false));
}

static size_t find_all(CK_ULONG per_call, CK_ULONG total)
{
    CK_OBJECT_HANDLE *handles = NULL;
    size_t count = 0;

    script.rv = CKR_OK;
    script.per_call = per_call;
    script.remaining = total;
    script.finals = 0;
    assert_int_equal(object_find(&token, 1, NULL, 0, &handles, &count), CKR_OK);
    assert_int_equal(script.finals, 1);
    free(handles);
    return count;
}

static void test_find_counts(void **state)
{
    (void)state;
    assert_int_equal(find_all(64, 0), 0);
    assert_int_equal(find_all(1, 3), 3);
    assert_int_equal(find_all(64, 1000), 1000);
}

static void test_find_absurd_counts(void **state)
{
    (void)state;
    /* More than was asked for: only what fitted counts. */
    assert_int_equal(find_all(1000000, 1000000), 64);
    /* Objects without end. */
    assert_int_equal(find_all(64, CK_UNAVAILABLE_INFORMATION), WORKER_KEYS_MAX);
    assert_int_equal(find_all(63, CK_UNAVAILABLE_INFORMATION), WORKER_KEYS_MAX);
}

static void test_find_failure_is_finished(void **state)
{
    CK_OBJECT_HANDLE *handles = NULL;
    size_t count = 0;

    (void)state;
    script.rv = CKR_DEVICE_ERROR;
    script.finals = 0;
    assert_int_equal(object_find(&token, 1, NULL, 0, &handles, &count), CKR_DEVICE_ERROR);
    assert_int_equal(script.finals, 1);
}

static unsigned int score(const char *id_a, const char *label_a, const char *id_b,
                          const char *label_b)
{
    struct object_name a;
    struct object_name b;

    object_name_set(&a, wire_span_from_text(id_a), wire_span_from_text(label_a));
    object_name_set(&b, wire_span_from_text(id_b), wire_span_from_text(label_b));
    assert_int_equal(object_name_score(&a, &b), object_name_score(&b, &a));
    return object_name_score(&a, &b);
}

static void test_name_score(void **state)
{
    (void)state;
    assert_int_equal(score("1", "a", "1", "a"), 3);
    assert_int_equal(score("1", "a", "1", "b"), 2);
    assert_int_equal(score("1", "", "1", ""), 2);
    assert_int_equal(score("1", "a", "2", "a"), 0);
    assert_int_equal(score("", "a", "2", "a"), 1);
    assert_int_equal(score("", "a", "", "a"), 1);
    assert_int_equal(score("", "", "", ""), 0);
    assert_int_equal(score("", "a", "", "b"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_lengths),
        cmocka_unit_test(test_get_is_sticky_after_loss),
        cmocka_unit_test(test_get_number_wrong_size),
        cmocka_unit_test(test_get_bool_missing),
        cmocka_unit_test(test_find_counts),
        cmocka_unit_test(test_find_absurd_counts),
        cmocka_unit_test(test_find_failure_is_finished),
        cmocka_unit_test(test_name_score),
    };

    return cmocka_run_group_tests_name("attribute", tests, NULL, NULL);
}
