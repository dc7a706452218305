/* SPDX-License-Identifier: Apache-2.0 */
/* Objects from keys: which there are, their IDs and labels, and the handles that they keep. */
#include "client/module/content.h"

#include <string.h>

#include "module_keys.h"
#include "unit.h"

struct world {
    struct content older;
    struct content content;
    CK_OBJECT_HANDLE next_handle;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    *state = world;
    if (!world)
        return -1;
    world->next_handle = 1;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    content_deinit(&world->older);
    content_deinit(&world->content);
    free(world);
    return 0;
}

static bool fill(struct world *world, struct content *content, const struct content *older,
                 const struct mtls_agent_key *const keys[])
{
    bool is_same = false;

    for (size_t i = 0; keys[i]; i++)
        assert_int_equal(content_add_key(content, keys[i]), 0);
    assert_int_equal(content_finish(content, older, &world->next_handle, &is_same), 0);
    return is_same;
}

static const struct object *find(const struct content *content, CK_OBJECT_CLASS class,
                                 const char *label)
{
    const struct object *found = NULL;

    for (size_t i = 0; i < content->object_count; i++) {
        const struct object *object = &content->objects[i];
        if (object->class != class ||
            !wire_span_is_equal(object->label, wire_span_from_text(label)))
            continue;
        assert_null(found);
        found = object;
    }
    return found;
}

static CK_OBJECT_HANDLE handle_of(const struct content *content, CK_OBJECT_CLASS class,
                                  const char *label)
{
    const struct object *object = find(content, class, label);

    assert_non_null(object);
    assert_ptr_equal(content_find(content, object->handle), object);
    return object->handle;
}

#define KEY(number) (&module_keys[number])

static void test_objects_of_two_keys_with_one_chain(void **state)
{
    struct world *world = *state;

    (void)fill(world, &world->content, NULL,
               (const struct mtls_agent_key *[]){KEY(KEYS_P256), KEY(KEYS_RSA), NULL});

    assert_int_equal(world->content.object_count, 3 + 3 + 2);
    assert_non_null(find(&world->content, CKO_CERTIFICATE, "Module Test CA"));
    assert_non_null(find(&world->content, CKO_CERTIFICATE, "Module Test Root"));
    assert_null(find(&world->content, CKO_CERTIFICATE, "Module Test CA")->key);
    assert_non_null(find(&world->content, CKO_PRIVATE_KEY, "p256"));
    assert_non_null(find(&world->content, CKO_PUBLIC_KEY, "rsa"));
    assert_ptr_equal(find(&world->content, CKO_CERTIFICATE, "rsa")->key,
                     find(&world->content, CKO_PRIVATE_KEY, "rsa")->key);
}

static void test_key_without_certificate_has_two_objects(void **state)
{
    struct world *world = *state;

    (void)fill(world, &world->content, NULL,
               (const struct mtls_agent_key *[]){KEY(KEYS_PSS), NULL});
    assert_int_equal(world->content.object_count, 2);
}

static void test_key_that_is_not_of_its_type_is_left_out(void **state)
{
    struct world *world = *state;
    struct mtls_agent_key liar = *KEY(KEYS_RSA);

    liar.type = MTLS_AGENT_KEY_EC;
    (void)fill(world, &world->content, NULL,
               (const struct mtls_agent_key *[]){&liar, KEY(KEYS_PSS), NULL});
    assert_int_equal(world->content.object_count, 2);
}

/* PSS is there for RSA keys that can, and where there is no key to tell. */
static void test_pss_is_what_the_rsa_keys_can(void **state)
{
    static const struct mtls_agent_key without = {
        .type = MTLS_AGENT_KEY_RSA, .scheme_count = 1, .schemes = {0x0401}};
    static const struct mtls_agent_key with = {
        .type = MTLS_AGENT_KEY_RSA, .scheme_count = 2, .schemes = {0x0804, 0x0401}};
    static const struct mtls_agent_key silent = {.type = MTLS_AGENT_KEY_RSA};
    static const struct mtls_agent_key ec = {
        .type = MTLS_AGENT_KEY_EC, .scheme_count = 1, .schemes = {0x0403}};
    struct content_key keys[] = {{.info = &ec}, {.info = &without}, {.info = &with}};
    struct content content = {.keys = keys};

    (void)state;
    assert_true(content_has_pss(&content));
    content.key_count = 1;
    assert_true(content_has_pss(&content));
    content.key_count = 2;
    assert_false(content_has_pss(&content));
    content.key_count = 3;
    assert_true(content_has_pss(&content));
    assert_false(content_key_can(&without, PADDING_PSS));
    assert_true(content_key_can(&without, PADDING_PKCS1));
    assert_true(content_key_can(&silent, PADDING_PSS));
}

static void test_no_keys_no_objects(void **state)
{
    struct world *world = *state;

    assert_true(fill(world, &world->content, NULL, (const struct mtls_agent_key *[]){NULL}));
    assert_int_equal(world->content.object_count, 0);
    assert_null(content_find(&world->content, 1));
}

static void test_handles_stay_when_keys_come_and_go(void **state)
{
    struct world *world = *state;

    (void)fill(world, &world->older, NULL,
               (const struct mtls_agent_key *[]){KEY(KEYS_P256), KEY(KEYS_RSA), NULL});
    CK_OBJECT_HANDLE gone = handle_of(&world->older, CKO_PRIVATE_KEY, "p256");
    CK_OBJECT_HANDLE stays = handle_of(&world->older, CKO_PRIVATE_KEY, "rsa");
    CK_OBJECT_HANDLE authority = handle_of(&world->older, CKO_CERTIFICATE, "Module Test CA");
    CK_OBJECT_HANDLE next = world->next_handle;

    assert_false(fill(world, &world->content, &world->older,
                      (const struct mtls_agent_key *[]){KEY(KEYS_P384), KEY(KEYS_RSA), NULL}));

    assert_null(content_find(&world->content, gone));
    assert_int_equal(handle_of(&world->content, CKO_PRIVATE_KEY, "rsa"), stays);
    assert_int_equal(handle_of(&world->content, CKO_CERTIFICATE, "Module Test CA"), authority);
    assert_true(handle_of(&world->content, CKO_PRIVATE_KEY, "p384") >= next);
    assert_int_equal(world->next_handle, next + 3);
}

static void test_a_key_that_comes_back_has_a_new_handle(void **state)
{
    struct world *world = *state;
    const struct mtls_agent_key *const keys[] = {KEY(KEYS_P256), NULL};

    (void)fill(world, &world->older, NULL, keys);
    CK_OBJECT_HANDLE first = handle_of(&world->older, CKO_PRIVATE_KEY, "p256");
    (void)fill(world, &world->content, &world->older, (const struct mtls_agent_key *[]){NULL});
    content_deinit(&world->older);
    (void)fill(world, &world->older, &world->content, keys);
    assert_true(handle_of(&world->older, CKO_PRIVATE_KEY, "p256") > first);
}

static void test_is_same_does_not_depend_on_the_order(void **state)
{
    struct world *world = *state;

    (void)fill(world, &world->older, NULL,
               (const struct mtls_agent_key *[]){KEY(KEYS_P256), KEY(KEYS_RSA), NULL});
    assert_true(fill(world, &world->content, &world->older,
                     (const struct mtls_agent_key *[]){KEY(KEYS_RSA), KEY(KEYS_P256), NULL}));
}

static void test_a_new_certificate_is_not_the_same(void **state)
{
    struct world *world = *state;
    struct mtls_agent_key renewed = *KEY(KEYS_P256);

    renewed.certs[0] = KEY(KEYS_P384)->certs[0];
    (void)fill(world, &world->older, NULL, (const struct mtls_agent_key *[]){KEY(KEYS_P256), NULL});
    CK_OBJECT_HANDLE key = handle_of(&world->older, CKO_PRIVATE_KEY, "p256");
    CK_OBJECT_HANDLE cert = handle_of(&world->older, CKO_CERTIFICATE, "p256");

    assert_false(fill(world, &world->content, &world->older,
                      (const struct mtls_agent_key *[]){&renewed, NULL}));
    assert_int_equal(handle_of(&world->content, CKO_PRIVATE_KEY, "p256"), key);
    assert_true(handle_of(&world->content, CKO_CERTIFICATE, "p256") > cert);
}

/* --- CKA_ID --- */

static void assert_ids_unique(const struct content *content)
{
    for (size_t i = 0; i < content->key_count; i++) {
        assert_true(content->keys[i].id.len > 0);
        for (size_t j = 0; j < i; j++)
            assert_false(wire_span_is_equal(content->keys[i].id, content->keys[j].id));
    }
}

static struct wire_span id_of(const struct content *content, const char *label)
{
    const struct object *object = find(content, CKO_PRIVATE_KEY, label);

    assert_non_null(object);
    return object->key->id;
}

static void test_ids_of_the_token_are_kept(void **state)
{
    struct world *world = *state;

    (void)fill(world, &world->content, NULL,
               (const struct mtls_agent_key *[]){KEY(KEYS_P256), KEY(KEYS_RSA), NULL});
    assert_span_equal(id_of(&world->content, "p256"), WIRE_SPAN_LITERAL("id-p256"));
}

static void test_ids_empty_or_shared_become_hashes(void **state)
{
    struct world *world = *state;
    struct mtls_agent_key empty = *KEY(KEYS_P256);
    struct mtls_agent_key first = *KEY(KEYS_P384);
    struct mtls_agent_key second = *KEY(KEYS_P521);

    empty.id.len = 0;
    second.id = first.id;
    (void)fill(world, &world->content, NULL,
               (const struct mtls_agent_key *[]){&empty, &first, &second, KEY(KEYS_RSA), NULL});

    assert_ids_unique(&world->content);
    assert_span_equal(id_of(&world->content, "p256"), ((struct wire_span){empty.hash, 32}));
    assert_span_equal(id_of(&world->content, "p384"), ((struct wire_span){first.hash, 32}));
    assert_span_equal(id_of(&world->content, "rsa"), WIRE_SPAN_LITERAL("id-rsa"));
}

/* A token may give any ID to a key, also the hash of another one. */
static void test_id_that_is_the_hash_of_another_key(void **state)
{
    struct world *world = *state;
    struct mtls_agent_key empty = *KEY(KEYS_P256);
    struct mtls_agent_key liar = *KEY(KEYS_P384);
    struct mtls_agent_key second = *KEY(KEYS_P521);

    empty.id.len = 0;
    liar.id = (struct mtls_agent_bytes){empty.hash, sizeof(empty.hash)};
    second.id = (struct mtls_agent_bytes){liar.hash, sizeof(liar.hash)};
    (void)fill(world, &world->content, NULL,
               (const struct mtls_agent_key *[]){&empty, &liar, &second, NULL});
    assert_ids_unique(&world->content);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_objects_of_two_keys_with_one_chain),
        TEST(test_key_without_certificate_has_two_objects),
        TEST(test_key_that_is_not_of_its_type_is_left_out),
        TEST(test_pss_is_what_the_rsa_keys_can),
        TEST(test_no_keys_no_objects),
        TEST(test_handles_stay_when_keys_come_and_go),
        TEST(test_a_key_that_comes_back_has_a_new_handle),
        TEST(test_is_same_does_not_depend_on_the_order),
        TEST(test_a_new_certificate_is_not_the_same),
        TEST(test_ids_of_the_token_are_kept),
        TEST(test_ids_empty_or_shared_become_hashes),
        TEST(test_id_that_is_the_hash_of_another_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
