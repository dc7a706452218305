/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions under a limit, with many threads and a module that is made up here: never more of them
 * than there may be, never one in two hands, and nobody waits for ever. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "pkcs11/mechanism.h"
#include "pkcs11/session.h"
#include "unit.h"

#define SIGNERS 6u
#define ROUNDS 10000u
#define HANDLES_MAX 65536u

/* The module: handles are numbers from 1 on. */
static struct {
    atomic_uint open;
    atomic_uint peak;
    atomic_uint next;
    atomic_uint refused;
    atomic_uint max; /* the module's own limit */
    atomic_bool is_open[HANDLES_MAX];
    atomic_uint users[HANDLES_MAX];
    CK_ULONG mechanism_count; /* what it says */
} fake;

static CK_RV fake_open(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                       CK_SESSION_HANDLE *ret_session)
{
    unsigned int open = atomic_fetch_add(&fake.open, 1) + 1;

    (void)slot;
    (void)flags;
    (void)application;
    (void)notify;
    if (open > atomic_load(&fake.max)) {
        atomic_fetch_sub(&fake.open, 1);
        atomic_fetch_add(&fake.refused, 1);
        return CKR_SESSION_COUNT;
    }
    unsigned int peak = atomic_load(&fake.peak);
    while (peak < open && !atomic_compare_exchange_weak(&fake.peak, &peak, open))
        continue;
    *ret_session = atomic_fetch_add(&fake.next, 1) + 1;
    atomic_store(&fake.is_open[*ret_session % HANDLES_MAX], true);
    return CKR_OK;
}

static CK_RV fake_close(CK_SESSION_HANDLE session)
{
    if (!atomic_exchange(&fake.is_open[session % HANDLES_MAX], false))
        return CKR_SESSION_HANDLE_INVALID;
    atomic_fetch_sub(&fake.open, 1);
    return CKR_OK;
}

static CK_RV fake_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    (void)info;
    return atomic_load(&fake.is_open[session % HANDLES_MAX]) ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

static CK_RV fake_mechanisms(CK_SLOT_ID slot, CK_MECHANISM_TYPE *types, CK_ULONG *count)
{
    (void)slot;
    assert_true(*count >= 1);
    types[0] = CKM_ECDSA;
    *count = fake.mechanism_count;
    return CKR_OK;
}

static CK_FUNCTION_LIST fake_calls = {.C_OpenSession = fake_open,
                                      .C_CloseSession = fake_close,
                                      .C_GetSessionInfo = fake_session_info,
                                      .C_GetMechanismList = fake_mechanisms};

struct fixture {
    struct worker worker;
    struct token tokens[2];
    struct signer signers[SIGNERS];
    _Atomic CK_SESSION_HANDLE slots[SIGNERS][2];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    memset(&fake, 0, sizeof(fake));
    fake.max = UINT32_MAX;
    fake.mechanism_count = 1;
    for (uint32_t i = 0; i < 2; i++)
        fixture->tokens[i] = (struct token){.calls = &fake_calls,
                                            .number = i,
                                            .session_lock = PTHREAD_MUTEX_INITIALIZER,
                                            .session_given = PTHREAD_COND_INITIALIZER};
    for (size_t i = 0; i < SIGNERS; i++)
        fixture->signers[i] =
            (struct signer){.worker = &fixture->worker, .sessions = fixture->slots[i]};
    fixture->worker.tokens = fixture->tokens;
    fixture->worker.token_count = 2;
    fixture->worker.signers = fixture->signers;
    fixture->worker.signer_count = SIGNERS;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static CK_RV prepare(struct fixture *fixture, size_t number)
{
    return session_prepare(&fixture->worker, &fixture->tokens[number]);
}

/* A signer at work: 0, or what went wrong. */
struct hand {
    pthread_t thread;
    struct fixture *fixture;
    struct signer *signer;
    unsigned int number;
    const char *fault;
};

static void *work(void *argument)
{
    struct hand *hand = argument;
    struct token *token = &hand->fixture->tokens[0];

    for (unsigned int round = 0; round < ROUNDS && !hand->fault; round++) {
        struct session session = {.handle = CK_INVALID_HANDLE};
        if (session_take(hand->signer, token, &session) != CKR_OK) {
            hand->fault = "no session";
            break;
        }
        atomic_uint *users = &fake.users[session.handle % HANDLES_MAX];
        if (atomic_fetch_add(users, 1) != 0)
            hand->fault = "a session in two hands";
        if (!atomic_load(&fake.is_open[session.handle % HANDLES_MAX]))
            hand->fault = "a session that is closed";
        atomic_fetch_sub(users, 1);
        /* Some fail: their session is closed, or goes back if it is the one for reading. */
        if ((round + hand->number) % 7 == 0)
            session_end(token, &session);
        else if ((round + hand->number) % 31 == 0)
            session_close(token, &session);
        else
            session_put(hand->signer, token, &session);
    }
    return NULL;
}

static void assert_all_work(struct fixture *fixture)
{
    struct hand hands[SIGNERS];

    for (unsigned int i = 0; i < SIGNERS; i++) {
        hands[i] = (struct hand){.fixture = fixture, .signer = &fixture->signers[i], .number = i};
        assert_int_equal(pthread_create(&hands[i].thread, NULL, work, &hands[i]), 0);
    }
    for (size_t i = 0; i < SIGNERS; i++) {
        assert_int_equal(pthread_join(hands[i].thread, NULL), 0);
        if (hands[i].fault)
            fail_msg("signer %zu: %s", i, hands[i].fault);
    }
}

static void test_limit_of_the_configuration_is_kept(void **state)
{
    struct fixture *fixture = *state;

    for (uint32_t max = 1; max <= SIGNERS; max++) {
        fixture->tokens[0].session_max = max;
        assert_int_equal(prepare(fixture, 0), CKR_OK);
        fake.peak = fake.open;
        assert_all_work(fixture);
        assert_in_range(fake.peak, 0, max);
        assert_int_equal(fake.open, fixture->tokens[0].session_count);
    }
    assert_int_equal(fake.refused, 0); /* the module was never asked for one too many */
}

static void test_limit_of_the_module_is_lived_with(void **state)
{
    struct fixture *fixture = *state;

    for (uint32_t max = 1; max <= SIGNERS; max++) {
        fake.max = max;
        assert_int_equal(prepare(fixture, 0), CKR_OK);
        assert_all_work(fixture);
        assert_int_equal(fake.open, fixture->tokens[0].session_count);
    }
}

static void test_without_a_limit_each_signer_keeps_its_own(void **state)
{
    struct fixture *fixture = *state;
    struct session first;
    struct session second;

    assert_int_equal(prepare(fixture, 0), CKR_OK);
    assert_int_equal(session_take(&fixture->signers[0], &fixture->tokens[0], &first), CKR_OK);
    assert_int_equal(session_take(&fixture->signers[1], &fixture->tokens[0], &second), CKR_OK);
    assert_false(first.is_reading);
    CK_SESSION_HANDLE handle = first.handle;
    assert_int_not_equal(handle, second.handle);
    session_put(&fixture->signers[0], &fixture->tokens[0], &first);
    session_put(&fixture->signers[1], &fixture->tokens[0], &second);
    assert_int_equal(session_take(&fixture->signers[0], &fixture->tokens[0], &first), CKR_OK);
    assert_int_equal(first.handle, handle);
    assert_int_equal(fake.open, 3);
}

static void test_sessions_with_other_tokens_make_room(void **state)
{
    struct fixture *fixture = *state;
    struct session session;

    fake.max = 3;
    assert_int_equal(prepare(fixture, 0), CKR_OK);
    assert_int_equal(session_take(&fixture->signers[0], &fixture->tokens[0], &session), CKR_OK);
    session_put(&fixture->signers[0], &fixture->tokens[0], &session);
    assert_int_equal(prepare(fixture, 1), CKR_OK);
    assert_int_equal(session_take(&fixture->signers[1], &fixture->tokens[1], &session), CKR_OK);
    assert_false(session.is_reading);
    assert_int_equal(fixture->slots[0][0], CK_INVALID_HANDLE);
    assert_int_equal(fake.open, 3);
}

static void test_when_others_have_them_all_that_is_said(void **state)
{
    struct fixture *fixture = *state;
    struct session session;

    fake.max = 0;
    assert_int_equal(prepare(fixture, 0), CKR_SESSION_COUNT);
    assert_int_equal(session_take(&fixture->signers[0], &fixture->tokens[0], &session),
                     CKR_SESSION_COUNT);
    assert_int_equal(fixture->tokens[0].session_count, 0);
}

static void test_signers_session_is_used_for_reading_when_it_is_the_last(void **state)
{
    struct fixture *fixture = *state;
    struct session session;

    fixture->tokens[0].session_max = 1;
    assert_int_equal(session_take(&fixture->signers[2], &fixture->tokens[0], &session), CKR_OK);
    CK_SESSION_HANDLE handle = session.handle;
    session_put(&fixture->signers[2], &fixture->tokens[0], &session);
    assert_int_equal(prepare(fixture, 0), CKR_OK);
    assert_int_equal(fixture->tokens[0].session, handle); /* not closed: the login is in it */
    assert_int_equal(fixture->slots[2][0], CK_INVALID_HANDLE);
}

static void test_dropped_session_for_reading_is_opened_anew(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(prepare(fixture, 0), CKR_OK);
    CK_SESSION_HANDLE dropped = fixture->tokens[0].session;
    assert_int_equal(fake_close(dropped), CKR_OK);
    assert_int_equal(prepare(fixture, 0), CKR_OK);
    assert_int_not_equal(fixture->tokens[0].session, dropped);
    assert_int_equal(fixture->tokens[0].session_count, 1);
}

static void test_number_of_mechanisms_is_not_believed(void **state)
{
    static const CK_ULONG lies[] = {CK_UNAVAILABLE_INFORMATION, 0x7fffffff, 5000, 1};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        fake.mechanism_count = lies[i];
        fixture->tokens[0].mechanisms = 0;
        assert_int_equal(prepare(fixture, 0), CKR_OK);
        assert_int_equal(fixture->tokens[0].mechanisms, MECHANISM_ECDSA);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_limit_of_the_configuration_is_kept),
        TEST(test_limit_of_the_module_is_lived_with),
        TEST(test_without_a_limit_each_signer_keeps_its_own),
        TEST(test_sessions_with_other_tokens_make_room),
        TEST(test_when_others_have_them_all_that_is_said),
        TEST(test_signers_session_is_used_for_reading_when_it_is_the_last),
        TEST(test_dropped_session_for_reading_is_opened_anew),
        TEST(test_number_of_mechanisms_is_not_believed),
    };

    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
