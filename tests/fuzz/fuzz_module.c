/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PKCS#11 module's functions in any order, with any handles, templates, mechanisms, parameters
 * and lengths, while the agent's keys come, go and are locked. The agent is inside the process
 * (tests/unit/module_seam.c), a stand-in hashes. Input: steps (fuzz_ops.h).
 */
#include <string.h>

#include "client/module/calls.h"
#include "client/module/crypto_load.h"
#include "fuzz.h"
#include "fuzz_ops.h"
#include "tests/unit/module_seam.h"

#define HANDLES 8u
#define TEMPLATE_MAX 6u
#define OUTPUT_MAX 600u

static CK_SESSION_HANDLE sessions[HANDLES];
static CK_OBJECT_HANDLE objects[HANDLES];
static unsigned int opened;

/* --- a hash that is quick and none --- */

struct crypto_hash {
    size_t len;
    uint8_t sum;
};

static struct crypto_hash *fake_hash_new(enum hash_id hash)
{
    struct crypto_hash *state = hash_len(hash) > 0 ? calloc(1, sizeof(*state)) : NULL;

    if (state)
        state->len = hash_len(hash);
    return state;
}

static int fake_hash_update(struct crypto_hash *state, struct wire_span data)
{
    for (size_t i = 0; i < data.len; i++)
        state->sum = (uint8_t)(state->sum * 31u + data.data[i]);
    return 0;
}

static int fake_hash_final(struct crypto_hash *state, uint8_t ret_digest[static DIGEST_LEN_MAX])
{
    memset(ret_digest, state->sum, state->len);
    return 0;
}

static struct crypto_hash *fake_hash_free(struct crypto_hash *state)
{
    free(state);
    return NULL;
}

/* Reads all that it is given. */
static int fake_verify(const struct crypto_verify *request)
{
    struct crypto_hash state = {0};

    (void)fake_hash_update(&state, request->spki);
    (void)fake_hash_update(&state, request->data);
    (void)fake_hash_update(&state, request->signature);
    fuzz_check(request->is_message || request->hash == HASH_NONE ||
               request->data.len == hash_len(request->hash));
    return state.sum & 1 ? 0 : CRYPTO_E_BAD_SIGNATURE;
}

const struct module_crypto *__wrap_module_crypto_load(void);

const struct module_crypto *__wrap_module_crypto_load(void)
{
    static const struct module_crypto fake = {
        .hash_new = fake_hash_new,
        .hash_update = fake_hash_update,
        .hash_final = fake_hash_final,
        .hash_free = fake_hash_free,
        .verify = fake_verify,
    };

    return &fake;
}

/* --- what an input chooses --- */

static CK_SESSION_HANDLE take_session(struct wire_reader *in)
{
    uint8_t choice = wire_get_u8(in);

    return choice < 0xf0 ? sessions[choice % HANDLES] : wire_get_u32(in);
}

static CK_OBJECT_HANDLE take_object(struct wire_reader *in)
{
    uint8_t choice = wire_get_u8(in);

    return choice < 0xf0 ? objects[choice % HANDLES] : wire_get_u32(in);
}

/* What is left, in memory of its exact length. */
static uint8_t *take_rest(struct wire_reader *in, size_t *ret_len)
{
    size_t len = in->failed ? 0 : in->left;
    uint8_t *copy = malloc(len > 0 ? len : 1);

    fuzz_check(copy);
    if (len > 0)
        memcpy(copy, in->at, len);
    *ret_len = len;
    return copy;
}

/* Room for an answer, of which the module hears the true length; NULL: it asks for the length. */
static uint8_t *take_room(struct wire_reader *in, CK_ULONG *ret_len)
{
    uint8_t choice = wire_get_u8(in);

    *ret_len = choice == 0 ? 0 : (CK_ULONG)choice * 3 % OUTPUT_MAX;
    if (choice == 0)
        return NULL;
    uint8_t *room = malloc(*ret_len > 0 ? *ret_len : 1);
    fuzz_check(room);
    return room;
}

static const CK_MECHANISM_TYPE mechanisms[] = {
    CKM_ECDSA,
    CKM_ECDSA_SHA256,
    CKM_ECDSA_SHA384,
    CKM_RSA_PKCS,
    CKM_SHA256_RSA_PKCS,
    CKM_RSA_PKCS_PSS,
    CKM_SHA384_RSA_PKCS_PSS,
    0x1057UL /* CKM_EDDSA */,
    CKM_SHA256,
    CKM_SHA512,
    CKM_SHA_1,
    CKM_VENDOR_DEFINED,
};

struct taken_mechanism {
    CK_MECHANISM mechanism;
    CK_MECHANISM *pointer; /* NULL: none is given */
    CK_RSA_PKCS_PSS_PARAMS pss;
    uint8_t raw[64];
};

static void take_mechanism(struct wire_reader *in, struct taken_mechanism *taken)
{
    static const CK_RSA_PKCS_PSS_PARAMS params[] = {
        {CKM_SHA256, CKG_MGF1_SHA256, 32},
        {CKM_SHA384, CKG_MGF1_SHA384, 48},
        {CKM_SHA512, CKG_MGF1_SHA512, 64},
        {CKM_SHA256, CKG_MGF1_SHA512, 32},
    };
    uint8_t choice = wire_get_u8(in);
    uint8_t form = wire_get_u8(in);

    *taken = (struct taken_mechanism){.pss = params[form % ARRAY_SIZE(params)]};
    taken->mechanism.mechanism = mechanisms[choice % ARRAY_SIZE(mechanisms)];
    taken->pointer = choice == 0xff ? NULL : &taken->mechanism;
    if (form & 0x80) {
        taken->mechanism.pParameter = taken->raw;
        taken->mechanism.ulParameterLen = form % (sizeof(taken->raw) + 1);
        for (size_t i = 0; i < taken->mechanism.ulParameterLen; i++)
            taken->raw[i] = wire_get_u8(in);
    } else if (form & 0x40) {
        taken->mechanism.ulParameterLen = form; /* of nothing */
    } else if (form & 0x20) {
        taken->mechanism.pParameter = &taken->pss;
        taken->mechanism.ulParameterLen = sizeof(taken->pss);
    }
}

static const CK_ATTRIBUTE_TYPE types[] = {
    CKA_CLASS,           CKA_TOKEN,          CKA_PRIVATE,
    CKA_LABEL,           CKA_VALUE,          CKA_ISSUER,
    CKA_SERIAL_NUMBER,   CKA_SUBJECT,        CKA_ID,
    CKA_KEY_TYPE,        CKA_SIGN,           CKA_MODULUS,
    CKA_EC_POINT,        CKA_EC_PARAMS,      CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT, CKA_START_DATE,     CKA_PRIVATE_EXPONENT,
    CKA_PUBLIC_KEY_INFO, CKA_VENDOR_DEFINED,
};

/* Entries with memory of their own. */
static CK_ULONG take_template(struct wire_reader *in, CK_ATTRIBUTE template[TEMPLATE_MAX])
{
    CK_ULONG count = wire_get_u8(in) % (TEMPLATE_MAX + 1);

    for (CK_ULONG i = 0; i < count; i++) {
        uint8_t form = wire_get_u8(in);
        template[i].type = types[wire_get_u8(in) % ARRAY_SIZE(types)];
        template[i].ulValueLen = form & 0x80 ? (CK_ULONG)form * 8 : form % 40;
        template[i].pValue = form == 0 ? NULL : calloc(1, template[i].ulValueLen + 1);
        fuzz_check(form == 0 || template[i].pValue);
        for (CK_ULONG at = 0; form != 0 && at < template[i].ulValueLen && at < 40; at++)
            ((uint8_t *)template[i].pValue)[at] = wire_get_u8(in);
    }
    return count;
}

static void free_template(CK_ATTRIBUTE *template, CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++)
        free(template[i].pValue);
}

/* --- steps --- */

static void step_world(struct wire_reader *in)
{
    uint8_t choice = wire_get_u8(in);
    uint8_t value = wire_get_u8(in);

    switch (choice % 6) {
    case 0:
        seam.key_count = value % (KEYS_COUNT + 1);
        break;
    case 1:
        seam.keys[value % KEYS_COUNT].state = (enum mtls_agent_key_state)(1 + (value >> 4) % 3);
        break;
    case 2:
        seam.list_code = value & 1 ? value % 12 : 0;
        break;
    case 3:
        seam.sign_code = value & 1 ? value % 12 : 0;
        break;
    case 4:
        seam.keys[value % KEYS_COUNT].token_serial = value & 0x40 ? "another" : KEYS_SERIAL;
        break;
    default:
        seam_hang_up();
    }
    seam_publish();
}

static void step_slots(struct wire_reader *in)
{
    CK_SLOT_ID slot = wire_get_u8(in) % 8;
    CK_SLOT_ID list[8];
    CK_MECHANISM_TYPE mechanism_list[20];
    CK_ULONG count = wire_get_u8(in) % 9;
    CK_ULONG mechanism_count = wire_get_u8(in) % 21;
    CK_SLOT_INFO slot_info;
    CK_TOKEN_INFO token_info;
    CK_MECHANISM_INFO mechanism_info;

    (void)C_GetSlotList(slot & 1, slot & 2 ? NULL : list, &count);
    (void)C_GetSlotInfo(slot, &slot_info);
    (void)C_GetTokenInfo(slot, &token_info);
    (void)C_GetMechanismList(slot, slot & 4 ? NULL : mechanism_list, &mechanism_count);
    (void)C_GetMechanismInfo(slot, mechanisms[wire_get_u8(in) % ARRAY_SIZE(mechanisms)],
                             &mechanism_info);
}

static void step_open(struct wire_reader *in)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    if (C_OpenSession(wire_get_u8(in) % 8, CKF_SERIAL_SESSION | wire_get_u8(in), NULL, NULL,
                      &session) == CKR_OK)
        sessions[opened++ % HANDLES] = session;
}

static void step_close(struct wire_reader *in)
{
    CK_SESSION_INFO info;

    if (wire_get_u8(in) & 1)
        (void)C_CloseAllSessions(wire_get_u8(in) % 8);
    else
        (void)C_CloseSession(take_session(in));
    (void)C_GetSessionInfo(take_session(in), &info);
}

static void step_login(struct wire_reader *in)
{
    CK_SESSION_HANDLE session = take_session(in);
    uint8_t choice = wire_get_u8(in);
    size_t len = 0;
    uint8_t *pin = take_rest(in, &len);

    seam.unlock_code = choice & 8 ? MTLS_AGENT_E_PIN : 0;
    if (choice & 1)
        (void)C_Logout(session);
    else
        (void)C_Login(session, choice & 2 ? CKU_USER : choice, choice & 4 ? NULL : pin, len);
    free(pin);
}

static void step_find(struct wire_reader *in)
{
    CK_SESSION_HANDLE session = take_session(in);
    CK_ULONG room = wire_get_u8(in) % (HANDLES + 1);
    CK_ATTRIBUTE template[TEMPLATE_MAX] = {0};
    CK_OBJECT_HANDLE found[HANDLES];
    CK_ULONG count = take_template(in, template);
    CK_ULONG got = 0;

    (void)C_FindObjectsInit(session, template, count);
    if (C_FindObjects(session, found, room, &got) == CKR_OK) {
        fuzz_check(got <= room);
        memcpy(objects, found, got * sizeof(found[0]));
    }
    if (wire_get_u8(in) & 1)
        (void)C_FindObjectsFinal(session);
    free_template(template, count);
}

static void step_attributes(struct wire_reader *in)
{
    CK_SESSION_HANDLE session = take_session(in);
    CK_OBJECT_HANDLE object = take_object(in);
    CK_ATTRIBUTE template[TEMPLATE_MAX] = {0};
    CK_ATTRIBUTE before[TEMPLATE_MAX];
    CK_ULONG count = take_template(in, template);

    memcpy(before, template, sizeof(before));
    CK_RV rv = C_GetAttributeValue(session, object, template, count);
    for (CK_ULONG i = 0; i < count; i++) {
        fuzz_check(template[i].pValue == before[i].pValue);
        if (rv == CKR_OK && template[i].pValue)
            fuzz_check(template[i].ulValueLen <= before[i].ulValueLen);
        if (rv == CKR_OK)
            fuzz_check(template[i].ulValueLen != CK_UNAVAILABLE_INFORMATION);
    }
    free_template(template, count);
}

static void step_sign_init(struct wire_reader *in)
{
    struct taken_mechanism taken;
    CK_SESSION_HANDLE session = take_session(in);
    CK_OBJECT_HANDLE object = take_object(in);

    take_mechanism(in, &taken);
    (void)C_SignInit(session, taken.pointer, object);
}

static void step_verify_init(struct wire_reader *in)
{
    struct taken_mechanism taken;
    CK_SESSION_HANDLE session = take_session(in);
    CK_OBJECT_HANDLE object = take_object(in);

    take_mechanism(in, &taken);
    (void)C_VerifyInit(session, taken.pointer, object);
}

static void check_output(CK_RV rv, const uint8_t *room, CK_ULONG room_len, CK_ULONG len)
{
    if (rv == CKR_OK && room)
        fuzz_check(len <= room_len);
    if (rv == CKR_BUFFER_TOO_SMALL)
        fuzz_check(room && len > room_len);
}

/* Data many times over, so that they also grow beyond what is kept whole. */
static uint8_t *take_data(struct wire_reader *in, size_t *ret_len)
{
    size_t times = wire_get_u8(in) == 0xff ? 40 : 1;
    size_t len = 0;
    _cleanup_free_ uint8_t *piece = take_rest(in, &len);
    uint8_t *data = malloc(times * len + 1);

    fuzz_check(data);
    for (size_t i = 0; i < times && len > 0; i++)
        memcpy(data + i * len, piece, len);
    *ret_len = times * len;
    return data;
}

static void step_sign(struct wire_reader *in)
{
    CK_SESSION_HANDLE session = take_session(in);
    uint8_t choice = wire_get_u8(in);
    CK_ULONG room_len = 0;
    uint8_t *room = take_room(in, &room_len);
    CK_ULONG len = room_len;
    size_t data_len = 0;
    uint8_t *data = take_data(in, &data_len);

    switch (choice % 3) {
    case 0:
        check_output(C_Sign(session, data, data_len, room, &len), room, room_len, len);
        break;
    case 1:
        (void)C_SignUpdate(session, data, data_len);
        break;
    default:
        check_output(C_SignFinal(session, room, &len), room, room_len, len);
    }
    free(room);
    free(data);
}

static void step_verify(struct wire_reader *in)
{
    CK_SESSION_HANDLE session = take_session(in);
    uint8_t choice = wire_get_u8(in);
    CK_ULONG len = 0;
    uint8_t *signature = take_room(in, &len);
    size_t data_len = 0;
    uint8_t *data = take_data(in, &data_len);

    if (signature)
        memset(signature, choice, len);
    switch (choice % 3) {
    case 0:
        (void)C_Verify(session, data, data_len, signature, len);
        break;
    case 1:
        (void)C_VerifyUpdate(session, data, data_len);
        break;
    default:
        (void)C_VerifyFinal(session, signature, len);
    }
    free(signature);
    free(data);
}

static void step_digest(struct wire_reader *in)
{
    struct taken_mechanism taken;
    CK_SESSION_HANDLE session = take_session(in);
    uint8_t choice = wire_get_u8(in);
    CK_ULONG room_len = 0;

    take_mechanism(in, &taken);
    uint8_t *room = take_room(in, &room_len);
    CK_ULONG len = room_len;
    size_t data_len = 0;
    uint8_t *data = take_data(in, &data_len);
    if (choice & 4)
        (void)C_DigestInit(session, taken.pointer);
    if (choice & 1)
        (void)C_DigestUpdate(session, data, data_len);
    else if (choice & 2)
        check_output(C_Digest(session, data, data_len, room, &len), room, room_len, len);
    if (choice & 8) {
        len = room_len;
        check_output(C_DigestFinal(session, room, &len), room, room_len, len);
    }
    free(room);
    free(data);
}

static void step_event(struct wire_reader *in)
{
    CK_SLOT_ID slot = 99;
    CK_SLOT_INFO info;

    (void)in;
    if (C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL) == CKR_OK)
        fuzz_check(C_GetSlotInfo(slot, &info) == CKR_OK);
}

static void step_cancel(struct wire_reader *in)
{
    CK_SESSION_HANDLE session = take_session(in);
    uint8_t random[8];

    (void)C_SessionCancel(session, wire_get_u32(in));
    (void)C_GenerateRandom(session, random, wire_get_u8(in) % sizeof(random));
}

static void step_restart(struct wire_reader *in)
{
    (void)in;
    fuzz_check(C_Finalize(NULL) == CKR_OK);
    fuzz_check(C_Initialize(NULL) == CKR_OK);
}

static void (*const steps[MODULE_STEP_COUNT])(struct wire_reader *in) = {
    [MODULE_WORLD] = step_world,
    [MODULE_SLOTS] = step_slots,
    [MODULE_OPEN] = step_open,
    [MODULE_CLOSE] = step_close,
    [MODULE_LOGIN] = step_login,
    [MODULE_FIND] = step_find,
    [MODULE_ATTRIBUTES] = step_attributes,
    [MODULE_SIGN_INIT] = step_sign_init,
    [MODULE_SIGN] = step_sign,
    [MODULE_VERIFY_INIT] = step_verify_init,
    [MODULE_VERIFY] = step_verify,
    [MODULE_DIGEST] = step_digest,
    [MODULE_EVENT] = step_event,
    [MODULE_CANCEL] = step_cancel,
    [MODULE_RESTART] = step_restart,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_span input = {data, size};
    struct wire_span payload;
    uint8_t op = 0;

    seam_reset();
    memset(sessions, 0, sizeof(sessions));
    memset(objects, 0, sizeof(objects));
    opened = 0;
    fuzz_check(C_Initialize(NULL) == CKR_OK);
    for (size_t i = 0; i < FUZZ_OPS_MAX && fuzz_next_op(&input, &op, &payload); i++) {
        struct wire_reader reader;
        wire_reader_init(&reader, payload);
        steps[op % MODULE_STEP_COUNT](&reader);
    }
    fuzz_check(C_Finalize(NULL) == CKR_OK);
    fuzz_check(C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED);
    return 0;
}
