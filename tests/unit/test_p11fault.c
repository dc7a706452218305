/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p11fault.so over SoftHSM: each rule of its control file does what p11fault_rules.h says, and what
 * no rule names works as without it. The tests of the agent's faults rest on this.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define PIN_LEN 4u
#define TOKEN_LABEL "faulty"
#define SIGNATURE_LEN 64u
#define KEY_ID 7

static CK_BYTE right_pin[] = "1234";
static CK_BYTE wrong_pin[] = "9999";

/* Made once: a token with one P-256 key. */
static char dir[64];
static CK_FUNCTION_LIST *p11;

/* Made for each test: an initialised module, and a session that has logged in. */
struct fixture {
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
};

static const char *path_of(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    char part[128];

    (void)snprintf(part, sizeof(part), "%s", path_of("part"));
    FILE *file = fopen(part, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(part, path_of(name)), 0);
}

static void set_rules(const char *rules)
{
    write_file("ctl", rules);
}

static size_t calls_in_log(const char *function)
{
    char line[64];
    char wanted[64];
    size_t count = 0;
    _cleanup_fclose_ FILE *file = fopen(path_of("log"), "re");

    (void)snprintf(wanted, sizeof(wanted), "%d %s\n", (int)getpid(), function);
    while (file && fgets(line, sizeof(line), file))
        count += strcmp(line, wanted) == 0;
    return count;
}

static CK_SLOT_ID first_slot(void)
{
    CK_SLOT_ID slots[8];
    CK_ULONG count = ARRAY_SIZE(slots);

    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    assert_true(count > 0);
    return slots[0];
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof(class)};
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG count = 0;

    assert_int_equal(p11->C_FindObjectsInit(session, &template, 1), CKR_OK);
    assert_int_equal(p11->C_FindObjects(session, &key, 1, &count), CKR_OK);
    assert_int_equal(p11->C_FindObjectsFinal(session), CKR_OK);
    assert_int_equal(count, 1);
    return key;
}

static CK_RV sign(const struct fixture *fixture, CK_BYTE *signature, CK_ULONG *len)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_BYTE digest[32] = {1};

    CK_RV rv = p11->C_SignInit(fixture->session, &mechanism, fixture->key);
    if (rv != CKR_OK)
        return rv;
    return p11->C_Sign(fixture->session, digest, sizeof(digest), signature, len);
}

static CK_RV verify(const struct fixture *fixture, CK_BYTE *signature)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof(class)};
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_HANDLE key = 0;
    CK_BYTE digest[32] = {1};
    CK_ULONG count = 0;

    assert_int_equal(p11->C_FindObjectsInit(fixture->session, &template, 1), CKR_OK);
    assert_int_equal(p11->C_FindObjects(fixture->session, &key, 1, &count), CKR_OK);
    assert_int_equal(p11->C_FindObjectsFinal(fixture->session), CKR_OK);
    assert_int_equal(p11->C_VerifyInit(fixture->session, &mechanism, key), CKR_OK);
    return p11->C_Verify(fixture->session, digest, sizeof(digest), signature, SIGNATURE_LEN);
}

static void assert_signs(const struct fixture *fixture)
{
    CK_BYTE signature[SIGNATURE_LEN];
    CK_ULONG len = sizeof(signature);

    assert_int_equal(sign(fixture, signature, &len), CKR_OK);
    assert_int_equal(len, SIGNATURE_LEN);
    assert_int_equal(verify(fixture, signature), CKR_OK);
}

static void generate_key(CK_SESSION_HANDLE session)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_BYTE id = KEY_ID;
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof(p256)},
                             {CKA_TOKEN, &yes, sizeof(yes)},
                             {CKA_PRIVATE, &no, sizeof(no)},
                             {CKA_VERIFY, &yes, sizeof(yes)}};
    CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, sizeof(yes)},
                              {CKA_PRIVATE, &yes, sizeof(yes)},
                              {CKA_ID, &id, sizeof(id)},
                              {CKA_SIGN, &yes, sizeof(yes)}};
    CK_OBJECT_HANDLE handles[2];

    assert_int_equal(p11->C_GenerateKeyPair(session, &mechanism, public, ARRAY_SIZE(public),
                                            private, ARRAY_SIZE(private), &handles[0], &handles[1]),
                     CKR_OK);
}

static void make_token(void)
{
    CK_BYTE label[32];
    CK_SESSION_HANDLE session = 0;

    (void)memset(label, ' ', sizeof(label));
    (void)memcpy(label, TOKEN_LABEL, strlen(TOKEN_LABEL));
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    assert_int_equal(p11->C_InitToken(first_slot(), right_pin, PIN_LEN, label), CKR_OK);
    CK_SLOT_ID slot = first_slot();
    assert_int_equal(
        p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
        CKR_OK);
    assert_int_equal(p11->C_Login(session, CKU_SO, right_pin, PIN_LEN), CKR_OK);
    assert_int_equal(p11->C_InitPIN(session, right_pin, PIN_LEN), CKR_OK);
    assert_int_equal(p11->C_Logout(session), CKR_OK);
    assert_int_equal(p11->C_Login(session, CKU_USER, right_pin, PIN_LEN), CKR_OK);
    generate_key(session);
    assert_int_equal(p11->C_Finalize(NULL), CKR_OK);
}

static int group_setup(void **state)
{
    char conf[256];
    CK_C_GetFunctionList get_list = NULL;

    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/p11fault-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(mkdir(path_of("tokens"), 0700), 0);
    (void)snprintf(conf, sizeof(conf), "directories.tokendir = %s\nlog.level = ERROR\n",
                   path_of("tokens"));
    write_file("softhsm2.conf", conf);
    (void)setenv("SOFTHSM2_CONF", path_of("softhsm2.conf"), 1);
    (void)setenv("P11FAULT_CTL", path_of("ctl"), 1);
    (void)setenv("P11FAULT_LOG", path_of("log"), 1);
    void *module = dlopen(getenv("P11FAULT_SO"), RTLD_NOW | RTLD_LOCAL);
    assert_non_null(module);
    *(void **)&get_list = dlsym(module, "C_GetFunctionList");
    assert_non_null(get_list);
    assert_int_equal(get_list(&p11), CKR_OK);
    make_token();
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int group_teardown(void **state)
{
    (void)state;
    return nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
    static struct fixture fixture;

    (void)unlink(path_of("log"));
    (void)unlink(path_of("ctl.pin-" TOKEN_LABEL));
    set_rules("");
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    fixture.slot = first_slot();
    assert_int_equal(
        p11->C_OpenSession(fixture.slot, CKF_SERIAL_SESSION, NULL, NULL, &fixture.session), CKR_OK);
    assert_int_equal(p11->C_Login(fixture.session, CKU_USER, right_pin, PIN_LEN), CKR_OK);
    fixture.key = find_key(fixture.session);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    bool understood = access(path_of("ctl.error"), F_OK) < 0;

    (void)state;
    set_rules("");
    (void)unlink(path_of("ctl.error"));
    (void)p11->C_Finalize(NULL);
    return understood ? 0 : -1;
}

/* The wait status of a child that signs. */
static int sign_in_child(const struct fixture *fixture)
{
    CK_BYTE signature[SIGNATURE_LEN];
    CK_ULONG len = sizeof(signature);
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka's handlers are not for the child */
        (void)signal(SIGABRT, SIG_DFL);
        _exit(sign(fixture, signature, &len) == CKR_OK ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_no_rule_forwards(void **state)
{
    assert_signs(*state);
}

static void test_log_has_every_call(void **state)
{
    assert_signs(*state);
    assert_int_equal(calls_in_log("C_Sign"), 1);
    assert_int_equal(calls_in_log("C_Login"), 1);
}

static void test_rv_ends_the_operation(void **state)
{
    CK_BYTE signature[SIGNATURE_LEN];
    CK_ULONG len = sizeof(signature);

    set_rules("C_Sign rv 30");
    assert_int_equal(sign(*state, signature, &len), CKR_DEVICE_ERROR);
    set_rules("");
    assert_signs(*state);
}

static void test_rv_count_is_used_up(void **state)
{
    CK_BYTE signature[SIGNATURE_LEN];
    CK_ULONG len = sizeof(signature);

    set_rules("C_Sign rv 30 2");
    assert_int_equal(sign(*state, signature, &len), CKR_DEVICE_ERROR);
    assert_int_equal(sign(*state, signature, &len), CKR_DEVICE_ERROR);
    assert_signs(*state);
}

static void test_count_spans_processes(void **state)
{
    set_rules("C_Sign crash 1");
    int status = sign_in_child(*state);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_signs(*state);
}

static void test_count_starts_anew_with_a_new_file(void **state)
{
    CK_BYTE signature[SIGNATURE_LEN];
    CK_ULONG len = sizeof(signature);

    set_rules("C_Sign rv 30 1");
    assert_int_equal(sign(*state, signature, &len), CKR_DEVICE_ERROR);
    set_rules("C_Sign rv 30 1");
    assert_int_equal(sign(*state, signature, &len), CKR_DEVICE_ERROR);
}

static void test_star_meets_every_function(void **state)
{
    CK_SESSION_INFO info;
    const struct fixture *fixture = *state;

    set_rules("* rv 5 1");
    assert_int_equal(p11->C_GetSessionInfo(fixture->session, &info), CKR_GENERAL_ERROR);
    assert_int_equal(p11->C_GetSessionInfo(fixture->session, &info), CKR_OK);
}

static void test_delay_waits(void **state)
{
    set_rules("C_Sign delay 60");
    uint64_t start_ms = clock_monotonic_ms();
    assert_signs(*state);
    assert_true(clock_monotonic_ms() - start_ms >= 60);
}

static void test_exit_and_abort_end_the_process(void **state)
{
    set_rules("C_Sign exit");
    int status = sign_in_child(*state);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 99);
    set_rules("C_Sign abort");
    status = sign_in_child(*state);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_hang_does_not_return(void **state)
{
    CK_BYTE signature[SIGNATURE_LEN];
    CK_ULONG len = sizeof(signature);
    int ends[2];
    char byte;

    set_rules("C_Sign hang");
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(1);
        (void)sign(*state, signature, &len);
        (void)!write(ends[1], "x", 1);
        _exit(0);
    }
    (void)close(ends[1]);
    /* End of file without a byte: the alarm ended the child, not the return of C_Sign. */
    assert_int_equal(read(ends[0], &byte, 1), 0);
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_damaged_signatures_do_not_verify(void **state)
{
    static const char *const rules[] = {"C_Sign garbage", "C_Sign zero-r", "C_Sign zero-s",
                                        "C_Sign flip"};

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        CK_BYTE signature[SIGNATURE_LEN];
        CK_ULONG len = sizeof(signature);
        set_rules(rules[i]);
        assert_int_equal(sign(*state, signature, &len), CKR_OK);
        assert_int_equal(len, SIGNATURE_LEN);
        assert_int_not_equal(verify(*state, signature), CKR_OK);
    }
}

static void test_high_s_is_high_and_verifies(void **state)
{
    CK_BYTE signature[SIGNATURE_LEN] = {0};
    CK_ULONG len = sizeof(signature);

    set_rules("C_Sign high-s");
    for (int i = 0; i < 8; i++) {
        assert_int_equal(sign(*state, signature, &len), CKR_OK);
        assert_true(signature[32] >= 0x7f);
        assert_int_equal(verify(*state, signature), CKR_OK);
    }
}

static void test_lengths_are_wrong(void **state)
{
    static const struct {
        const char *rule;
        CK_ULONG len;
    } cases[] = {{"C_Sign short", SIGNATURE_LEN - 1},
                 {"C_Sign len0", 0},
                 {"C_Sign long", SIGNATURE_LEN + 4096}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CK_BYTE signature[SIGNATURE_LEN];
        CK_ULONG len = sizeof(signature);
        set_rules(cases[i].rule);
        assert_int_equal(sign(*state, signature, &len), CKR_OK);
        assert_int_equal(len, cases[i].len);
    }
}

static void test_too_small_for_any_buffer(void **state)
{
    CK_BYTE signature[1024];
    CK_BYTE digest[32] = {1};
    CK_ULONG len = sizeof(signature);
    const struct fixture *fixture = *state;

    set_rules("C_Sign too-small");
    assert_int_equal(sign(fixture, signature, &len), CKR_BUFFER_TOO_SMALL);
    assert_true(len > sizeof(signature));
    assert_int_equal(p11->C_Sign(fixture->session, digest, sizeof(digest), signature, &len),
                     CKR_BUFFER_TOO_SMALL);
}

static void test_removed_token_is_gone(void **state)
{
    const struct fixture *fixture = *state;
    CK_SLOT_ID slots[8];
    CK_ULONG count = ARRAY_SIZE(slots);
    CK_SESSION_INFO session_info;
    CK_TOKEN_INFO token_info;
    CK_SLOT_INFO slot_info;

    set_rules("removed " TOKEN_LABEL);
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; i++)
        assert_int_not_equal(slots[i], fixture->slot);
    assert_int_equal(p11->C_GetTokenInfo(fixture->slot, &token_info), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(p11->C_GetSlotInfo(fixture->slot, &slot_info), CKR_OK);
    assert_int_equal(slot_info.flags & CKF_TOKEN_PRESENT, 0);
    assert_int_equal(p11->C_GetSessionInfo(fixture->session, &session_info), CKR_DEVICE_REMOVED);
}

static void test_removed_token_loses_its_sessions(void **state)
{
    struct fixture *fixture = *state;
    CK_SESSION_INFO info;

    set_rules("removed");
    assert_int_equal(p11->C_GetSessionInfo(fixture->session, &info), CKR_DEVICE_REMOVED);
    set_rules("");
    assert_int_equal(p11->C_GetSessionInfo(fixture->session, &info), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(
        p11->C_OpenSession(fixture->slot, CKF_SERIAL_SESSION, NULL, NULL, &fixture->session),
        CKR_OK);
    assert_int_equal(p11->C_GetSessionInfo(fixture->session, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RO_PUBLIC_SESSION);
}

static void test_other_label_is_not_removed(void **state)
{
    set_rules("removed someone else");
    assert_signs(*state);
}

static void test_removal_is_an_event(void **state)
{
    const struct fixture *fixture = *state;
    CK_SLOT_ID slot = 0;

    assert_int_equal(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    set_rules("removed " TOKEN_LABEL);
    assert_int_equal(p11->C_WaitForSlotEvent(0, &slot, NULL), CKR_OK);
    assert_int_equal(slot, fixture->slot);
    assert_int_equal(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    set_rules("");
    assert_int_equal(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_OK);
}

static CK_RV wrong_login(const struct fixture *fixture)
{
    return p11->C_Login(fixture->session, CKU_USER, wrong_pin, PIN_LEN);
}

static CK_FLAGS pin_flags(const struct fixture *fixture)
{
    CK_TOKEN_INFO info;

    assert_int_equal(p11->C_GetTokenInfo(fixture->slot, &info), CKR_OK);
    return info.flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED);
}

static void test_wrong_pins_block(void **state)
{
    const struct fixture *fixture = *state;

    assert_int_equal(p11->C_Logout(fixture->session), CKR_OK);
    set_rules("pin-tries 3");
    assert_int_equal(pin_flags(fixture), 0);
    assert_int_equal(wrong_login(fixture), CKR_PIN_INCORRECT);
    assert_int_equal(pin_flags(fixture), CKF_USER_PIN_COUNT_LOW);
    assert_int_equal(wrong_login(fixture), CKR_PIN_INCORRECT);
    assert_int_equal(pin_flags(fixture), CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
    assert_int_equal(wrong_login(fixture), CKR_PIN_LOCKED);
    assert_int_equal(pin_flags(fixture), CKF_USER_PIN_LOCKED);
    assert_int_equal(p11->C_Login(fixture->session, CKU_USER, right_pin, PIN_LEN), CKR_PIN_LOCKED);
}

static void test_right_pin_refills_the_tries(void **state)
{
    const struct fixture *fixture = *state;

    assert_int_equal(p11->C_Logout(fixture->session), CKR_OK);
    set_rules("pin-tries 3");
    assert_int_equal(wrong_login(fixture), CKR_PIN_INCORRECT);
    assert_int_equal(p11->C_Login(fixture->session, CKU_USER, right_pin, PIN_LEN), CKR_OK);
    assert_int_equal(pin_flags(fixture), 0);
}

static void test_tries_can_be_preset(void **state)
{
    set_rules("pin-tries 3");
    write_file("ctl.pin-" TOKEN_LABEL, "1\n");
    assert_int_equal(pin_flags(*state), CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
}

static void test_attributes_are_spoiled(void **state)
{
    static const struct {
        const char *rule;
        CK_RV rv;
        CK_ULONG len;
    } cases[] = {{"attr bad-length 0", CKR_OK, sizeof(CK_ULONG) - 1},
                 {"attr unavailable 0", CKR_ATTRIBUTE_TYPE_INVALID, CK_UNAVAILABLE_INFORMATION},
                 {"attr growing 0", CKR_OK, sizeof(CK_ULONG)},
                 {"attr unavailable 100", CKR_OK, sizeof(CK_ULONG)}};
    const struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CK_OBJECT_CLASS class = 0;
        CK_ATTRIBUTE attr = {CKA_CLASS, &class, sizeof(class)};
        set_rules(cases[i].rule);
        assert_int_equal(p11->C_GetAttributeValue(fixture->session, fixture->key, &attr, 1),
                         cases[i].rv);
        assert_int_equal(attr.ulValueLen, cases[i].len);
    }
}

static void test_growing_attribute_outgrows_its_query(void **state)
{
    const struct fixture *fixture = *state;
    CK_BYTE point[256];
    CK_ATTRIBUTE attr = {CKA_EC_PARAMS, NULL, 0};

    set_rules("attr growing 180");
    assert_int_equal(p11->C_GetAttributeValue(fixture->session, fixture->key, &attr, 1), CKR_OK);
    attr.pValue = point;
    assert_int_equal(p11->C_GetAttributeValue(fixture->session, fixture->key, &attr, 1),
                     CKR_BUFFER_TOO_SMALL);
}

static size_t objects_found_by(const struct fixture *fixture, CK_ATTRIBUTE *match, CK_ULONG len)
{
    CK_OBJECT_HANDLE object = 0;
    CK_ULONG count = 0;
    size_t total = 0;

    assert_int_equal(p11->C_FindObjectsInit(fixture->session, match, len), CKR_OK);
    do {
        assert_int_equal(p11->C_FindObjects(fixture->session, &object, 1, &count), CKR_OK);
        total += count;
    } while (count > 0);
    assert_int_equal(p11->C_FindObjectsFinal(fixture->session), CKR_OK);
    return total;
}

static size_t objects_found(const struct fixture *fixture)
{
    return objects_found_by(fixture, NULL, 0);
}

static void test_search_finds_another_id(void **state)
{
    CK_BYTE id = KEY_ID + 1;
    CK_BYTE label[] = "other";
    CK_ATTRIBUTE match[] = {{CKA_ID, &id, sizeof(id)}, {CKA_LABEL, label, sizeof(label)}};

    assert_int_equal(objects_found_by(*state, match, ARRAY_SIZE(match)), 0);
    set_rules("found-id 7");
    assert_int_equal(objects_found_by(*state, match, ARRAY_SIZE(match)), 1);
    assert_int_equal(objects_found(*state), 2);
}

static void test_public_objects_can_be_hidden(void **state)
{
    assert_int_equal(objects_found(*state), 2);
    set_rules("no-public-objects");
    assert_int_equal(objects_found(*state), 1);
    set_rules("no-public-keys");
    assert_int_equal(objects_found(*state), 1);
}

static void test_hardware_shows_in_the_slot(void **state)
{
    const struct fixture *fixture = *state;
    CK_SLOT_INFO info;

    set_rules("hardware");
    assert_int_equal(p11->C_GetSlotInfo(fixture->slot, &info), CKR_OK);
    assert_int_equal(info.flags & (CKF_HW_SLOT | CKF_REMOVABLE_DEVICE),
                     CKF_HW_SLOT | CKF_REMOVABLE_DEVICE);
}

static void test_spam_has_its_length(void **state)
{
    int status = 0;
    struct stat spam;
    pid_t pid = fork();

    if (pid == 0) {
        CK_INFO info;
        int fd = open(path_of("spam"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        (void)dup2(fd, STDERR_FILENO);
        set_rules("C_GetInfo stderr-spam 100000");
        _exit(p11->C_GetInfo(&info) == CKR_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(stat(path_of("spam"), &spam), 0);
    assert_int_equal(spam.st_size, 100000);
    (void)state;
}

/* 0 when the process looks as the rules left it. */
static int look_around(void)
{
    CK_INFO info;
    char cwd[64];
    sigset_t mask;

    if (p11->C_GetInfo(&info) != CKR_OK)
        return 1;
    if (fcntl(STDIN_FILENO, F_GETFD) >= 0 || fcntl(STDERR_FILENO, F_GETFD) >= 0)
        return 2;
    if (!getcwd(cwd, sizeof(cwd)) || strcmp(cwd, "/proc") != 0)
        return 3;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGUSR1) ? 0 : 4;
}

static void test_process_state_is_changed(void **state)
{
    int status = 0;

    (void)state;
    set_rules("C_GetInfo chdir /proc\nC_GetInfo sigmask\nC_GetInfo setlocale C\n"
              "C_GetInfo thread\nC_GetInfo closefds\n");
    pid_t pid = fork();
    if (pid == 0)
        _exit(look_around());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_unknown_rule_is_reported(void **state)
{
    CK_INFO info;

    (void)state;
    set_rules("C_Sign explode\n");
    assert_int_equal(p11->C_GetInfo(&info), CKR_OK);
    assert_int_equal(access(path_of("ctl.error"), F_OK), 0);
    (void)unlink(path_of("ctl.error"));
}

static bool lists_mechanism(const struct fixture *fixture, CK_MECHANISM_TYPE type)
{
    CK_MECHANISM_TYPE types[256];
    CK_ULONG count = 0;
    CK_ULONG room = ARRAY_SIZE(types);
    bool found = false;

    assert_int_equal(p11->C_GetMechanismList(fixture->slot, NULL, &count), CKR_OK);
    assert_int_equal(p11->C_GetMechanismList(fixture->slot, types, &room), CKR_OK);
    assert_int_equal(room, count);
    for (CK_ULONG i = 0; i < room; i++)
        found = found || types[i] == type;
    return found;
}

static void test_mechanism_is_hidden_and_refused(void **state)
{
    CK_BYTE signature[SIGNATURE_LEN];
    CK_ULONG len = sizeof(signature);

    assert_true(lists_mechanism(*state, CKM_ECDSA));
    set_rules("no-mechanism 1041 another");
    assert_signs(*state);
    set_rules("no-mechanism 1041");
    assert_false(lists_mechanism(*state, CKM_ECDSA));
    assert_true(lists_mechanism(*state, CKM_RSA_PKCS));
    assert_int_equal(sign(*state, signature, &len), CKR_MECHANISM_INVALID);
    set_rules("");
    assert_signs(*state);
}

static void test_mechanism_is_listed_but_refused(void **state)
{
    CK_BYTE signature[SIGNATURE_LEN];
    CK_ULONG len = sizeof(signature);

    set_rules("refuse-mechanism 1041");
    assert_true(lists_mechanism(*state, CKM_ECDSA));
    assert_int_equal(sign(*state, signature, &len), CKR_MECHANISM_INVALID);
    set_rules("refuse-mechanism 1041 71");
    assert_int_equal(sign(*state, signature, &len), CKR_MECHANISM_PARAM_INVALID);
    set_rules("");
    assert_signs(*state);
}

static void test_pinpad_takes_the_pin_itself(void **state)
{
    struct fixture *fixture = *state;
    CK_TOKEN_INFO info;

    set_rules("pinpad\npinpad-wait 60");
    assert_int_equal(p11->C_GetTokenInfo(fixture->slot, &info), CKR_OK);
    assert_true(info.flags & CKF_PROTECTED_AUTHENTICATION_PATH);
    assert_int_equal(p11->C_Logout(fixture->session), CKR_OK);
    assert_int_equal(p11->C_Login(fixture->session, CKU_USER, right_pin, PIN_LEN),
                     CKR_ARGUMENTS_BAD);
    (void)unsetenv("P11FAULT_PIN");
    assert_int_equal(p11->C_Login(fixture->session, CKU_USER, NULL, 0), CKR_FUNCTION_CANCELED);
    (void)setenv("P11FAULT_PIN", "9999", 1);
    assert_int_equal(p11->C_Login(fixture->session, CKU_USER, NULL, 0), CKR_PIN_INCORRECT);
    (void)setenv("P11FAULT_PIN", "1234", 1);
    uint64_t start_ms = clock_monotonic_ms();
    assert_int_equal(p11->C_Login(fixture->session, CKU_USER, NULL, 0), CKR_OK);
    assert_true(clock_monotonic_ms() - start_ms >= 59);
    fixture->key = find_key(fixture->session); /* a logout makes its handle invalid */
    assert_signs(fixture);
}

static CK_RV open_session(const struct fixture *fixture, CK_SESSION_HANDLE *session)
{
    return p11->C_OpenSession(fixture->slot, CKF_SERIAL_SESSION, NULL, NULL, session);
}

/* What a child gets that opens one more session. */
static CK_RV open_in_child(const struct fixture *fixture)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        CK_SESSION_HANDLE session = 0;
        CK_RV rv = open_session(fixture, &session);
        _exit(rv == CKR_OK ? 0 : rv == CKR_SESSION_COUNT ? 1 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 1 ? CKR_SESSION_COUNT : (CK_RV)WEXITSTATUS(status);
}

static void test_sessions_are_counted_over_processes(void **state)
{
    const struct fixture *fixture = *state;
    CK_SESSION_HANDLE second = 0;
    CK_SESSION_HANDLE third = 0;

    set_rules("max-sessions 2"); /* one is the fixture's */
    assert_int_equal(open_session(fixture, &second), CKR_OK);
    assert_int_equal(open_session(fixture, &third), CKR_SESSION_COUNT);
    assert_int_equal(open_in_child(fixture), CKR_SESSION_COUNT);
    assert_int_equal(p11->C_CloseSession(second), CKR_OK);
    /* The child's is gone with the child. */
    assert_int_equal(open_in_child(fixture), CKR_OK);
    assert_int_equal(open_session(fixture, &second), CKR_OK);
}

static void test_idle_sessions_are_dropped(void **state)
{
    const struct timespec longer = {.tv_nsec = 80000000};
    struct fixture *fixture = *state;
    CK_SESSION_INFO info;

    set_rules("drop-sessions 5000");
    assert_signs(fixture);
    set_rules("drop-sessions 40");
    (void)nanosleep(&longer, NULL);
    assert_int_equal(p11->C_GetSessionInfo(fixture->session, &info), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(open_session(fixture, &fixture->session), CKR_OK);
    assert_int_equal(p11->C_GetSessionInfo(fixture->session, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RO_PUBLIC_SESSION);
}

static void test_signatures_are_counted_by_token(void **state)
{
    struct stat counted;

    set_rules("count-signatures");
    assert_signs(*state);
    assert_signs(*state);
    assert_int_equal(stat(path_of("ctl.signed-" TOKEN_LABEL), &counted), 0);
    assert_int_equal(counted.st_size, 2);
}

static void test_serial_and_reader_are_others(void **state)
{
    const struct fixture *fixture = *state;
    CK_TOKEN_INFO token;
    CK_SLOT_INFO slot;

    set_rules("serial " TOKEN_LABEL " 4711\nreader " TOKEN_LABEL " A reader 00 01\n"
              "serial other 1\nreader other B");
    assert_int_equal(p11->C_GetTokenInfo(fixture->slot, &token), CKR_OK);
    assert_memory_equal(token.serialNumber, "4711            ", 16);
    assert_int_equal(p11->C_GetSlotInfo(fixture->slot, &slot), CKR_OK);
    assert_memory_equal(slot.slotDescription, "A reader 00 01  ", 16);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const char *module = getenv("P11FAULT_MODULE");
    const struct CMUnitTest tests[] = {
        TEST(test_no_rule_forwards),
        TEST(test_log_has_every_call),
        TEST(test_rv_ends_the_operation),
        TEST(test_rv_count_is_used_up),
        TEST(test_count_spans_processes),
        TEST(test_count_starts_anew_with_a_new_file),
        TEST(test_star_meets_every_function),
        TEST(test_delay_waits),
        TEST(test_exit_and_abort_end_the_process),
        TEST(test_hang_does_not_return),
        TEST(test_damaged_signatures_do_not_verify),
        TEST(test_high_s_is_high_and_verifies),
        TEST(test_lengths_are_wrong),
        TEST(test_too_small_for_any_buffer),
        TEST(test_removed_token_is_gone),
        TEST(test_removed_token_loses_its_sessions),
        TEST(test_other_label_is_not_removed),
        TEST(test_removal_is_an_event),
        TEST(test_wrong_pins_block),
        TEST(test_right_pin_refills_the_tries),
        TEST(test_tries_can_be_preset),
        TEST(test_attributes_are_spoiled),
        TEST(test_growing_attribute_outgrows_its_query),
        TEST(test_search_finds_another_id),
        TEST(test_public_objects_can_be_hidden),
        TEST(test_hardware_shows_in_the_slot),
        TEST(test_mechanism_is_hidden_and_refused),
        TEST(test_mechanism_is_listed_but_refused),
        TEST(test_pinpad_takes_the_pin_itself),
        TEST(test_sessions_are_counted_over_processes),
        TEST(test_idle_sessions_are_dropped),
        TEST(test_serial_and_reader_are_others),
        TEST(test_signatures_are_counted_by_token),
        TEST(test_spam_has_its_length),
        TEST(test_process_state_is_changed),
        TEST(test_unknown_rule_is_reported),
    };

    if (!module || access(module, R_OK) < 0)
        return 77;
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
