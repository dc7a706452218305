/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of both protocols; see message_table.h. Samples first, then parse and encode. */
#include "message_table.h"

#define TEXT(literal)                                   \
    {                                                   \
        (const uint8_t *)(literal), sizeof(literal) - 1 \
    }

static const uint8_t sample_hash[PROTOCOL_KEY_HASH_LEN] = {
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10,
};

static const struct protocol_key sample_keys[] = {
    {
        .name = TEXT("work"),
        .key_hash = {sample_hash, sizeof(sample_hash)},
        .type = KEY_TYPE_EC,
        .bits = 256,
        .state = KEY_STATE_READY,
        .policy = KEY_POLICY_TLS,
        .label = TEXT("Work key"),
        .ck_id = TEXT("\x01"),
        .token_label = TEXT("demo"),
        .token_serial = TEXT("0123456789abcdef"),
        .module = TEXT("softhsm"),
        .spki = TEXT("\x30\x59spki"),
        .scheme_count = 3,
        .schemes = {SCHEME_ECDSA_SHA256, SCHEME_ECDSA_SHA384, SCHEME_ECDSA_SHA512},
        .cert_count = 2,
        .certs = {TEXT("\x30\x82leaf"), TEXT("\x30\x82intermediate")},
    },
    {
        .name = TEXT("\xc3\xa9tranger"),
        .key_hash = {sample_hash, sizeof(sample_hash)},
        .type = KEY_TYPE_RSA_PSS,
        .bits = 3072,
        .state = KEY_STATE_ABSENT,
        .policy = KEY_POLICY_DIGEST,
        .always_authenticate = true,
        .spki = TEXT("\x30\x82"),
    },
};

static int sample_hello(struct wire_writer *writer)
{
    return protocol_hello_encode(writer, &(struct protocol_hello){1, 2, TEXT("curl")});
}

static int sample_hello_reply(struct wire_writer *writer)
{
    return protocol_hello_reply_encode(writer, &(struct protocol_hello_reply){1, TEXT("0.1.0")});
}

static int sample_list(struct wire_writer *writer)
{
    return protocol_list_encode(writer, &(struct protocol_list){7, 2, TEXT("pkcs11:token=demo")});
}

static int sample_list_reply(struct wire_writer *writer)
{
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(writer, 7, 5);

    for (size_t i = 0; i < ARRAY_SIZE(sample_keys); i++)
        if (!protocol_list_reply_add(writer, &mark, &sample_keys[i]))
            return MESSAGE_E_ENCODE;
    return protocol_list_reply_end(writer, &mark, ARRAY_SIZE(sample_keys), 4);
}

static int sample_sign(struct wire_writer *writer)
{
    return protocol_sign_encode(writer, &(struct protocol_sign){
                                            .id = 8,
                                            .deadline_ms = 30000,
                                            .key_hash = {sample_hash, sizeof(sample_hash)},
                                            .scheme = SCHEME_ECDSA_SHA256,
                                            .kind = SIGN_KIND_TLS13,
                                            .content = TEXT("not a real CertificateVerify"),
                                        });
}

static int sample_sign_reply(struct wire_writer *writer)
{
    return protocol_sign_reply_encode(
        writer, &(struct protocol_sign_reply){8, TEXT("\x30\x06\x02\x01\x01\x02\x01\x02")});
}

static int sample_status(struct wire_writer *writer)
{
    return protocol_bare_encode(writer, PROTOCOL_STATUS, 9);
}

static int sample_status_reply(struct wire_writer *writer)
{
    struct protocol_status_mark mark =
        protocol_status_reply_begin(writer, &(struct protocol_status_reply){
                                                .id = 9,
                                                .agent_version = TEXT("0.1.0"),
                                                .pid = 4711,
                                                .uptime_ms = 0x0102030405060708u,
                                                .signatures = 1000000,
                                                .refusals = 3,
                                                .failures = 2,
                                                .connections = 12,
                                                .queued = 1,
                                                .config_text = TEXT("agent.conf:3: unknown key"),
                                            });

    protocol_status_reply_add_module(
        writer, &(struct protocol_status_module){TEXT("softhsm"), TEXT("/usr/lib/libsofthsm2.so"),
                                                 MODULE_STATE_READY, 2, 1, TEXT("worker died")});
    protocol_status_reply_add_module(
        writer,
        &(struct protocol_status_module){.name = TEXT("opensc"), .state = MODULE_STATE_FAILED});
    protocol_status_reply_begin_tokens(writer, &mark);
    if (!protocol_status_reply_add_token(
            writer, &mark,
            &(struct protocol_status_token){TEXT("demo"), TEXT("0123"), TEXT("softhsm"),
                                            TOKEN_STATE_LOCKED, 2, TEXT("run mtls unlock")}))
        return MESSAGE_E_ENCODE;
    protocol_status_reply_begin_refusals(writer, &mark);
    protocol_status_reply_add_refusal(
        writer, &(struct protocol_status_refusal){90000, 3, 1000, 4712, TEXT("/usr/bin/browser"),
                                                  TEXT("work"), SIGN_KIND_DIGEST,
                                                  TEXT("refused to sign: write sign = digest")});
    protocol_status_reply_begin_readers(writer, &mark, WIRE_SPAN_LITERAL("pcscd does not run"));
    protocol_status_reply_add_reader(
        writer, &(struct protocol_status_reader){TEXT("Reader 00 00"), READER_STATE_EXCLUSIVE,
                                                 TEXT("held by scdaemon (pid 815)")});
    return protocol_status_reply_end(writer, &mark);
}

static int sample_subscribe(struct wire_writer *writer)
{
    return protocol_subscribe_encode(writer, &(struct protocol_subscribe){10, EVENT_ALL});
}

static int sample_subscribe_reply(struct wire_writer *writer)
{
    return protocol_bare_encode(writer, PROTOCOL_SUBSCRIBE_REPLY, 10);
}

static int sample_unlock(struct wire_writer *writer)
{
    return protocol_token_request_encode(writer, PROTOCOL_UNLOCK,
                                         &(struct protocol_token_request){11, TEXT("demo")});
}

static int sample_unlock_reply(struct wire_writer *writer)
{
    return protocol_bare_encode(writer, PROTOCOL_UNLOCK_REPLY, 11);
}

static int sample_lock(struct wire_writer *writer)
{
    return protocol_token_request_encode(writer, PROTOCOL_LOCK,
                                         &(struct protocol_token_request){12, {0}});
}

static int sample_lock_reply(struct wire_writer *writer)
{
    return protocol_bare_encode(writer, PROTOCOL_LOCK_REPLY, 12);
}

static int sample_set_pin(struct wire_writer *writer)
{
    return protocol_set_pin_encode(
        writer, &(struct protocol_set_pin){12, TEXT("demo"), PIN_CHANGE_UNBLOCK});
}

static int sample_set_pin_reply(struct wire_writer *writer)
{
    return protocol_bare_encode(writer, PROTOCOL_SET_PIN_REPLY, 12);
}

static int sample_event(struct wire_writer *writer)
{
    return protocol_event_encode(
        writer, &(struct protocol_event){10, EVENT_TOKEN_CHANGED, TEXT("demo"), TEXT("unlocked")});
}

static int sample_error(struct wire_writer *writer)
{
    return protocol_error_encode(
        writer, &(struct protocol_error){8, PROTOCOL_E_POLICY, TEXT("bare digests are refused")});
}

static const struct worker_load sample_load_message = {
    .path = TEXT("/usr/lib/softhsm/libsofthsm2.so"),
    .init_args = TEXT("slot=0"),
    .threads = 4,
    .sessions = 7,
    .verify = VERIFY_ALWAYS,
    .cert_count = 2,
    .certs = {{TEXT("pkcs11:object=work"), TEXT("\x30\x82leaf")}, {{0}, TEXT("\x30")}},
};

static int sample_load(struct wire_writer *writer)
{
    return worker_load_encode(writer, &sample_load_message);
}

static int sample_pin_ask(struct wire_writer *writer)
{
    return pin_ask_encode(writer, &(struct pin_ask){
                                      .kind = PIN_KIND_PROMPT,
                                      .timeout_ms = 60000,
                                      .argument = TEXT("/etc/mtls-agent/pin"),
                                      .refused = TEXT("file-0123456789abcdef-1-2-3.4"),
                                      .ledger = TEXT("/var/lib/mtls-agent/pin-ledger"),
                                      .pinentry = TEXT("/usr/bin/pinentry"),
                                      .client_pid = 4711,
                                      .text = TEXT("Token \"demo\" wants its PIN.\nKey: work"),
                                      .error = TEXT("the PIN was refused"),
                                  });
}

static int sample_pin_give(struct wire_writer *writer)
{
    return pin_record_encode(writer, PIN_GIVE,
                             &(struct pin_record){TEXT("token=0123:demo"), TEXT("refused=1 when=-"),
                                                  TEXT("file-0123456789abcdef-1-2-3.4")});
}

static int sample_pin_record(struct wire_writer *writer)
{
    return pin_record_encode(writer, PIN_RECORD,
                             &(struct pin_record){.token = TEXT("token=0123:demo")});
}

static int sample_pin_answer(struct wire_writer *writer)
{
    return pin_reply_encode(
        writer, &(struct pin_reply){PIN_E_CANCELLED, TEXT("file-0123"), TEXT("nobody wanted to")});
}

static int sample_pin_trouble(struct wire_writer *writer)
{
    return pin_trouble_encode(writer, (struct wire_span)TEXT("No space left on device"));
}

static int sample_worker_set_pin(struct wire_writer *writer)
{
    return worker_set_pin_encode(writer, &(struct worker_set_pin){4, 2, WORKER_PIN_UNBLOCK, 60000});
}

static int sample_login(struct wire_writer *writer)
{
    return worker_login_encode(writer,
                               &(struct worker_login){1, 2, WORKER_TRIES_BUT_LAST, true, 60000});
}

static int sample_logout(struct wire_writer *writer)
{
    return worker_logout_encode(writer, &(struct worker_logout){2, 2});
}

static int sample_worker_sign(struct wire_writer *writer)
{
    return worker_sign_encode(
        writer,
        &(struct worker_sign){3, WORKER_WINDOW_MAX - 1, 5, SCHEME_RSA_PSS_RSAE_SHA256,
                              WORKER_TRIES_ALL, true, TEXT("0123456789abcdef0123456789abcdef")});
}

static int sample_discover(struct wire_writer *writer)
{
    return worker_empty_encode(writer, WORKER_DISCOVER);
}

static int sample_look(struct wire_writer *writer)
{
    return worker_empty_encode(writer, WORKER_LOOK);
}

static int sample_token(struct wire_writer *writer)
{
    return worker_token_encode(
        writer,
        &(struct worker_token){2, WORKER_TOKEN_HARDWARE | WORKER_TOKEN_PIN_PAD, TEXT("demo"),
                               TEXT("0123"), TEXT("maker"), TEXT("model"), TEXT("Reader 00 00")});
}

static int sample_key(struct wire_writer *writer)
{
    return worker_key_encode(writer, &(struct worker_key){
                                         .key = 5,
                                         .token = 2,
                                         .type = KEY_TYPE_ED25519,
                                         .bits = 255,
                                         .usable = true,
                                         .always_authenticate = true,
                                         .scheme_count = 2,
                                         .schemes = {SCHEME_ED25519, 0x1234},
                                         .label = TEXT("Work key"),
                                         .ck_id = TEXT("\x00\x01"),
                                         .spki = TEXT("\x30\x2aspki"),
                                         .cert_count = 2,
                                         .certs = {TEXT("\x30leaf"), TEXT("\x30next")},
                                     });
}

static int sample_inventory(struct wire_writer *writer)
{
    return worker_inventory_encode(writer, &(struct worker_inventory){1, 3, true});
}

static int sample_login_reply(struct wire_writer *writer)
{
    return worker_reply_encode(writer, WORKER_LOGIN_REPLY,
                               &(struct worker_reply){.seq = 1,
                                                      .result = WORKER_E_PIN,
                                                      .ck_rv = 0xa0,
                                                      .token_flags = WORKER_TOKEN_PIN_COUNT_LOW,
                                                      .text = TEXT("the PIN is wrong")});
}

static int sample_worker_sign_reply(struct wire_writer *writer)
{
    return worker_reply_encode(
        writer, WORKER_SIGN_REPLY,
        &(struct worker_reply){.seq = 3, .signature = TEXT("\x30\x06\x02\x01\x01\x02\x01\x02")});
}

static int sample_failure(struct wire_writer *writer)
{
    return worker_failure_encode(
        writer, &(struct worker_failure){true, 5, true, TEXT("no C_GetFunctionList")});
}

static int sample_module(struct wire_writer *writer)
{
    return worker_module_encode(
        writer, &(struct worker_module){TEXT("opensc"), TEXT("/usr/lib/opensc.so")});
}

static int sample_discover_end(struct wire_writer *writer)
{
    return worker_empty_encode(writer, WORKER_DISCOVER_END);
}

static int sample_reader_report(struct wire_writer *writer)
{
    return reader_report_encode(
        writer, &(struct reader_report){
                    .service = READER_SERVICE_THERE,
                    .text = TEXT("all is well"),
                    .reader_count = 2,
                    .readers = {{TEXT("Reader 00 00"), READER_STATE_EMPTY, 0, {0}},
                                {TEXT("Yubico YubiKey 01 00"), READER_STATE_EXCLUSIVE, 0x01020304,
                                 TEXT("scdaemon (pid 815)")}},
                });
}

/* recode_<message>() for a message whose two halves follow the naming rule. */
#define DEFINE_RECODE(message)                                                                   \
    static int recode_##message(struct wire_span body, uint8_t type, struct wire_writer *writer) \
    {                                                                                            \
        struct message msg = {0};                                                                \
                                                                                                 \
        (void)type;                                                                              \
        if (message##_parse(body, &msg))                                                         \
            return WIRE_E_MALFORMED;                                                             \
        return message##_encode(writer, &msg) ? MESSAGE_E_ENCODE : 0;                            \
    }

DEFINE_RECODE(protocol_hello)
DEFINE_RECODE(protocol_hello_reply)
DEFINE_RECODE(protocol_list)
DEFINE_RECODE(protocol_sign)
DEFINE_RECODE(protocol_sign_reply)
DEFINE_RECODE(protocol_subscribe)
DEFINE_RECODE(protocol_set_pin)
DEFINE_RECODE(protocol_event)
DEFINE_RECODE(protocol_error)
DEFINE_RECODE(pin_ask)
DEFINE_RECODE(worker_load)
DEFINE_RECODE(worker_login)
DEFINE_RECODE(worker_logout)
DEFINE_RECODE(worker_set_pin)
DEFINE_RECODE(worker_sign)
DEFINE_RECODE(worker_token)
DEFINE_RECODE(worker_key)
DEFINE_RECODE(worker_inventory)
DEFINE_RECODE(worker_failure)
DEFINE_RECODE(worker_module)

static int recode_reader_report(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    struct reader_report msg = {0};

    (void)type;
    if (reader_report_parse(body, &msg))
        return WIRE_E_MALFORMED;
    return reader_report_encode(writer, &msg) ? MESSAGE_E_ENCODE : 0;
}

static int recode_bare(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    uint32_t id = 0;

    if (protocol_bare_parse(body, &id))
        return WIRE_E_MALFORMED;
    return protocol_bare_encode(writer, type, id) ? MESSAGE_E_ENCODE : 0;
}

static int recode_token_request(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    struct protocol_token_request msg = {0};

    if (protocol_token_request_parse(body, &msg))
        return WIRE_E_MALFORMED;
    return protocol_token_request_encode(writer, type, &msg) ? MESSAGE_E_ENCODE : 0;
}

static int recode_list_reply(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    struct protocol_list_reply msg = {0};
    struct protocol_key key;
    uint32_t count = 0;

    (void)type;
    if (protocol_list_reply_parse(body, &msg))
        return WIRE_E_MALFORMED;
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(writer, msg.id, msg.total);
    while (protocol_list_reply_next_key(&msg.keys, &key))
        count += protocol_list_reply_add(writer, &mark, &key);
    int r = protocol_list_reply_end(writer, &mark, count, msg.next);
    return r || count != msg.key_count ? MESSAGE_E_ENCODE : 0;
}

static int recode_status_reply(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    struct protocol_status_reply msg = {0};
    struct protocol_status_module module;
    struct protocol_status_token token;
    struct protocol_status_refusal refusal;
    struct protocol_status_reader reader;

    (void)type;
    if (protocol_status_reply_parse(body, &msg))
        return WIRE_E_MALFORMED;
    struct protocol_status_mark mark = protocol_status_reply_begin(writer, &msg);
    while (protocol_status_next_module(&msg.modules, &module))
        protocol_status_reply_add_module(writer, &module);
    protocol_status_reply_begin_tokens(writer, &mark);
    while (protocol_status_next_token(&msg.tokens, &token) &&
           protocol_status_reply_add_token(writer, &mark, &token))
        continue;
    protocol_status_reply_begin_refusals(writer, &mark);
    while (protocol_status_next_refusal(&msg.recent_refusals, &refusal))
        protocol_status_reply_add_refusal(writer, &refusal);
    protocol_status_reply_begin_readers(writer, &mark, msg.readers_text);
    while (protocol_status_next_reader(&msg.readers, &reader))
        protocol_status_reply_add_reader(writer, &reader);
    return protocol_status_reply_end(writer, &mark) ? MESSAGE_E_ENCODE : 0;
}

static int recode_worker_reply(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    struct worker_reply msg = {0};

    if (worker_reply_parse(body, &msg))
        return WIRE_E_MALFORMED;
    return worker_reply_encode(writer, type, &msg) ? MESSAGE_E_ENCODE : 0;
}

/* DISCOVER, DISCOVER_END and LOOK have no parser: an empty body is the whole check. */
static int recode_empty(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    if (body.len > 0)
        return WIRE_E_MALFORMED;
    return worker_empty_encode(writer, type) ? MESSAGE_E_ENCODE : 0;
}

static int recode_pin_record(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    struct pin_record msg;
    int r = pin_record_parse(body, &msg);

    if (r)
        return r;
    return pin_record_encode(writer, type, &msg) ? MESSAGE_E_ENCODE : 0;
}

static int recode_pin_answer(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    struct pin_reply msg;
    int r = pin_reply_parse(body, &msg);

    (void)type;
    if (r)
        return r;
    return pin_reply_encode(writer, &msg) ? MESSAGE_E_ENCODE : 0;
}

static int recode_pin_trouble(struct wire_span body, uint8_t type, struct wire_writer *writer)
{
    struct wire_span text;
    int r = pin_trouble_parse(body, &text);

    (void)type;
    if (r)
        return r;
    return pin_trouble_encode(writer, text) ? MESSAGE_E_ENCODE : 0;
}

const struct message_row client_messages[] = {
    {"hello", PROTOCOL_HELLO, sample_hello, recode_protocol_hello},
    {"hello-reply", PROTOCOL_HELLO_REPLY, sample_hello_reply, recode_protocol_hello_reply},
    {"list", PROTOCOL_LIST, sample_list, recode_protocol_list},
    {"list-reply", PROTOCOL_LIST_REPLY, sample_list_reply, recode_list_reply},
    {"sign", PROTOCOL_SIGN, sample_sign, recode_protocol_sign},
    {"sign-reply", PROTOCOL_SIGN_REPLY, sample_sign_reply, recode_protocol_sign_reply},
    {"status", PROTOCOL_STATUS, sample_status, recode_bare},
    {"status-reply", PROTOCOL_STATUS_REPLY, sample_status_reply, recode_status_reply},
    {"subscribe", PROTOCOL_SUBSCRIBE, sample_subscribe, recode_protocol_subscribe},
    {"subscribe-reply", PROTOCOL_SUBSCRIBE_REPLY, sample_subscribe_reply, recode_bare},
    {"unlock", PROTOCOL_UNLOCK, sample_unlock, recode_token_request},
    {"unlock-reply", PROTOCOL_UNLOCK_REPLY, sample_unlock_reply, recode_bare},
    {"lock", PROTOCOL_LOCK, sample_lock, recode_token_request},
    {"lock-reply", PROTOCOL_LOCK_REPLY, sample_lock_reply, recode_bare},
    {"set-pin", PROTOCOL_SET_PIN, sample_set_pin, recode_protocol_set_pin},
    {"set-pin-reply", PROTOCOL_SET_PIN_REPLY, sample_set_pin_reply, recode_bare},
    {"event", PROTOCOL_EVENT, sample_event, recode_protocol_event},
    {"error", PROTOCOL_ERROR, sample_error, recode_protocol_error},
};
const size_t client_message_count = ARRAY_SIZE(client_messages);

const struct message_row worker_messages[] = {
    {"load", WORKER_LOAD, sample_load, recode_worker_load},
    {"login", WORKER_LOGIN, sample_login, recode_worker_login},
    {"set-pin", WORKER_SET_PIN, sample_worker_set_pin, recode_worker_set_pin},
    {"logout", WORKER_LOGOUT, sample_logout, recode_worker_logout},
    {"sign", WORKER_SIGN, sample_worker_sign, recode_worker_sign},
    {"discover", WORKER_DISCOVER, sample_discover, recode_empty},
    {"look", WORKER_LOOK, sample_look, recode_empty},
    {"token", WORKER_TOKEN, sample_token, recode_worker_token},
    {"key", WORKER_KEY, sample_key, recode_worker_key},
    {"inventory", WORKER_INVENTORY, sample_inventory, recode_worker_inventory},
    {"login-reply", WORKER_LOGIN_REPLY, sample_login_reply, recode_worker_reply},
    {"sign-reply", WORKER_SIGN_REPLY, sample_worker_sign_reply, recode_worker_reply},
    {"failure", WORKER_FAILURE, sample_failure, recode_worker_failure},
    {"module", WORKER_MODULE, sample_module, recode_worker_module},
    {"discover-end", WORKER_DISCOVER_END, sample_discover_end, recode_empty},
};
const size_t worker_message_count = ARRAY_SIZE(worker_messages);

const struct message_row reader_messages[] = {
    {"reader-report", READER_REPORT, sample_reader_report, recode_reader_report},
};
const size_t reader_message_count = ARRAY_SIZE(reader_messages);
const struct message_row pin_messages[] = {
    {"pin-ask", PIN_ASK, sample_pin_ask, recode_pin_ask},
    {"pin-give", PIN_GIVE, sample_pin_give, recode_pin_record},
    {"pin-record", PIN_RECORD, sample_pin_record, recode_pin_record},
    {"pin-answer", PIN_ANSWER, sample_pin_answer, recode_pin_answer},
    {"pin-trouble", PIN_TROUBLE, sample_pin_trouble, recode_pin_trouble},
};
const size_t pin_message_count = ARRAY_SIZE(pin_messages);

const struct message_row *message_find(const struct message_row *rows, size_t count, uint8_t type)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].type == type)
            return &rows[i];
    return NULL;
}
