/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First inputs for the fuzzers, from the tables and golden frames of the unit tests, so that a new
 * message is a seed at once: write_seeds OUTPUT_DIR GOLDEN_DIR. Each fuzzer has a directory.
 */
#include <p11-kit/pkcs11.h>
#include <string.h>
#include <sys/stat.h>

#include "common/der_ecdsa.h"
#include "fuzz_ops.h"
#include "tests/unit/golden_frames.h"
#include "tests/unit/message_table.h"
#include "tests/unit/module_keys.h"

static const char *output_dir;

static int write_seed(const char *fuzzer, const char *name, struct wire_span prefix,
                      struct wire_span content)
{
    char dir[512];
    char path[1024];

    (void)snprintf(dir, sizeof(dir), "%s/%s", output_dir, fuzzer);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (mkdir(dir, 0755) && errno != EEXIST)
        return -errno;
    _cleanup_fclose_ FILE *file = fopen(path, "wbe");
    if (!file)
        return -errno;
    /* fwrite() takes no NULL, not even for nothing */
    if (prefix.len > 0)
        (void)fwrite(prefix.data, 1, prefix.len, file);
    if (content.len > 0)
        (void)fwrite(content.data, 1, content.len, file);
    return fflush(file) ? -errno : 0;
}

/* Every sample as a message: the frame without its length. */
static int write_messages(const char *fuzzer, const struct message_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
        wire_writer_init(&writer, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
        if (rows[i].sample(&writer))
            return -ENOMEM;
        int r = write_seed(
            fuzzer, rows[i].name, (struct wire_span){0},
            (struct wire_span){writer.data + WIRE_HEADER_LEN, writer.len - WIRE_HEADER_LEN});
        if (r)
            return r;
    }
    return 0;
}

/* Golden frames as messages, and in pairs as streams. */
static int write_golden(const char *golden_dir)
{
    static const uint8_t sign_getters[] = {6, 2, 2, 5 + 7 * 4, 2, 0, 4 + 7 * 35};
    struct golden_frames golden;
    int r = golden_frames_load(golden_dir, &golden);

    for (size_t i = 0; !r && i < golden.count; i++) {
        const struct golden_frame *frame = &golden.frames[i];
        struct wire_span whole = {frame->data, frame->len};
        struct wire_span message = {frame->data + WIRE_HEADER_LEN, frame->len - WIRE_HEADER_LEN};
        struct wire_span body = {message.data + 1, message.len - 1};
        const struct golden_frame *next = &golden.frames[(i + 1) % golden.count];
        _cleanup_(cleanup_wire_writer) struct wire_writer stream = {0};

        wire_writer_init(&stream, 2 * WIRE_FRAME_MAX);
        wire_put_u8(&stream, (uint8_t)i);
        for (size_t at = 0; at < whole.len; at++)
            wire_put_u8(&stream, whole.data[at]);
        r = write_seed("fuzz_request", frame->name, (struct wire_span){0}, message);
        if (!r)
            r = write_seed("fuzz_frame", frame->name, (struct wire_span){stream.data, stream.len},
                           (struct wire_span){next->data, next->len});
        if (!r)
            r = write_seed("fuzz_fields", frame->name,
                           (struct wire_span){sign_getters, sizeof(sign_getters)}, body);
    }
    golden_frames_deinit(&golden);
    return r;
}

static void put_step(struct wire_writer *steps, uint8_t op, struct wire_span payload)
{
    wire_put_u8(steps, op);
    wire_put_u8(steps, (uint8_t)(payload.len >> 8));
    wire_put_u8(steps, (uint8_t)payload.len);
    for (size_t i = 0; i < payload.len; i++)
        wire_put_u8(steps, payload.data[i]);
}

/* For the fuzzers of the whole core: each message once, after what must come before it. */
static int write_steps(const char *fuzzer, const struct message_row *rows, size_t count,
                       struct wire_span before, uint8_t op)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer message = {0};
        _cleanup_(cleanup_wire_writer) struct wire_writer steps = {0};
        wire_writer_init(&message, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
        wire_writer_init(&steps, WIRE_FRAME_MAX);
        if (rows[i].sample(&message))
            return -ENOMEM;
        put_step(&steps, op,
                 (struct wire_span){message.data + WIRE_HEADER_LEN, message.len - WIRE_HEADER_LEN});
        int r = write_seed(fuzzer, rows[i].name, before, (struct wire_span){steps.data, steps.len});
        if (r)
            return r;
    }
    return 0;
}

static int write_core_steps(void)
{
    static const uint8_t hello[] = {
        DISPATCH_HELLO, 0, 0, DISPATCH_SIGN, 0, 0, DISPATCH_SIGN, 0, 1, 9};
    static const uint8_t sign[] = {HOSTILE_INVENTORY, 0, 0, HOSTILE_SIGN, 0, 0};
    /* result, ck_rv, token_flags, no text, a signature */
    static const uint8_t reply[] = {0, 0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0,
                                    0, 0, 0, 0, 0, 8, 0x30, 6, 0x02, 1, 1, 0x02, 1, 1};
    _cleanup_(cleanup_wire_writer) struct wire_writer steps = {0};

    int r = write_steps("fuzz_dispatch", client_messages, client_message_count,
                        (struct wire_span){hello, sizeof(hello)}, DISPATCH_SEND_FRAME);
    if (!r)
        r = write_steps("fuzz_worker_reply", worker_messages, worker_message_count,
                        (struct wire_span){sign, sizeof(sign)}, HOSTILE_MESSAGE);
    wire_writer_init(&steps, WIRE_FRAME_MAX);
    put_step(&steps, HOSTILE_SIGN_REPLY, (struct wire_span){reply, sizeof(reply)});
    put_step(&steps, HOSTILE_SIGN, (struct wire_span){0});
    put_step(&steps, HOSTILE_DIE, (struct wire_span){0});
    put_step(&steps, HOSTILE_INVENTORY, (struct wire_span){0});
    put_step(&steps, HOSTILE_SIGN_REPLY, (struct wire_span){reply, sizeof(reply)});
    if (!r)
        r = write_seed("fuzz_worker_reply", "signed-then-died",
                       (struct wire_span){sign, sizeof(sign)},
                       (struct wire_span){steps.data, steps.len});
    return r;
}

/* A card goes in mid-sign, another comes, pcscd ends; then the helper loses its mind. */
static int write_reader_steps(void)
{
    static const uint8_t start[] = {
        HOSTILE_READER, 0, 2, READER_STATE_PRESENT, 1, HOSTILE_PCSC, 0, 0, HOSTILE_SIGN, 0, 0};
    static const uint8_t reports[][2] = {{READER_STATE_IN_USE, 1},  {READER_STATE_EMPTY, 2},
                                         {READER_STATE_PRESENT, 3}, {READER_STATE_EXCLUSIVE, 3},
                                         {READER_STATE_IN_USE, 5},  {0, 0},
                                         {READER_STATE_MUTE, 5},    {99, 1}};
    _cleanup_(cleanup_wire_writer) struct wire_writer steps = {0};

    wire_writer_init(&steps, WIRE_FRAME_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
        put_step(&steps, HOSTILE_READER, (struct wire_span){reports[i], sizeof(reports[i])});
        put_step(&steps, HOSTILE_PCSC, (struct wire_span){0});
        put_step(&steps, HOSTILE_SIGN, (struct wire_span){0});
    }
    put_step(&steps, HOSTILE_READER_PACKET, WIRE_SPAN_LITERAL("?"));
    put_step(&steps, HOSTILE_READER_REPORT, WIRE_SPAN_LITERAL("\0\0\0\2\0\0\0\0\0\0\0\0"));
    return write_seed("fuzz_worker_reply", "cards-come-and-go",
                      (struct wire_span){start, sizeof(start)},
                      (struct wire_span){steps.data, steps.len});
}

/* "Done", with what is no signature of the key that was asked for. */
static int write_bad_signatures(void)
{
    static const uint8_t start[] = {HOSTILE_INVENTORY, 0, 0};
    static const struct wire_span signatures[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"garbage!", 8},
        {(const uint8_t *)"\x30\x06\x02\x01\x00\x02\x01\x01", 8}, /* r = 0 */
        {(const uint8_t *)"\x30\x06\x02\x01\x01\x02\x01\x01", 7}, /* cut */
    };
    _cleanup_(cleanup_wire_writer) struct wire_writer steps = {0};
    uint8_t reply[20 + 8] = {0};

    wire_writer_init(&steps, WIRE_FRAME_MAX);
    for (size_t i = 0; i < 2 * ARRAY_SIZE(signatures); i++) {
        struct wire_span signature = signatures[i / 2];
        reply[19] = (uint8_t)signature.len;
        memcpy(reply + 20, signature.data, signature.len);
        /* Of P-256 and of Ed25519 in turns; a request's id is its payload's length plus one. */
        put_step(&steps, HOSTILE_SIGN, (struct wire_span){reply, i});
        put_step(&steps, HOSTILE_SIGN_REPLY, (struct wire_span){reply, 20 + signature.len});
    }
    return write_seed("fuzz_worker_reply", "bad-signatures",
                      (struct wire_span){start, sizeof(start)},
                      (struct wire_span){steps.data, steps.len});
}

/* r = 1, s = 2^(bits-8) for every curve, in both forms. */
static int write_signatures(void)
{
    static const unsigned int curves[] = {256, 384, 521};

    for (uint8_t i = 0; i < ARRAY_SIZE(curves); i++) {
        uint8_t raw[DER_ECDSA_RAW_MAX] = {0};
        uint8_t der[DER_ECDSA_MAX];
        uint8_t raw_kind = (uint8_t)(i << 1);
        uint8_t der_kind = (uint8_t)(i << 1 | 1);
        char name[32];
        size_t half = (curves[i] + 7) / 8;
        size_t der_len = 0;
        raw[half - 1] = 1;
        raw[half] = 1;
        struct wire_span raw_span = {raw, 2 * half};
        if (der_ecdsa_from_raw(curves[i], raw_span, der, &der_len))
            return -EINVAL;
        (void)snprintf(name, sizeof(name), "raw-%u", curves[i]);
        int r = write_seed("fuzz_der_ecdsa", name, (struct wire_span){&raw_kind, 1}, raw_span);
        (void)snprintf(name, sizeof(name), "der-%u", curves[i]);
        if (!r)
            r = write_seed("fuzz_der_ecdsa", name, (struct wire_span){&der_kind, 1},
                           (struct wire_span){der, der_len});
        if (r)
            return r;
    }
    return 0;
}

/* A program's usual way, for each kind of key; the first byte of a payload is the session. */
static int write_module_steps(void)
{
    static const uint8_t slots[] = {0, 8, 20, 0};
    static const uint8_t find_private[] = {0, 1, 1, sizeof(CK_ULONG), 0, CKO_PRIVATE_KEY};
    static const uint8_t get[] = {0, 0, 3, 0, 0, 0x80, 3, 0x80, 11};
    static const uint8_t sign[] = {0, 0, 0xff, 0};
    static const uint8_t update[] = {0, 1, 0, 0, 'a', 'b', 'c'};
    static const uint8_t final[] = {0, 2, 0xaa, 0};
    static const uint8_t world[] = {0, 2};
    static const uint8_t login[] = {0, 2, '1', '2', '3', '4'};
    static const uint8_t digest[] = {0, 4 | 2, 8, 0, 60, 0, 'a', 'b', 'c'};

    for (uint8_t mechanism = 0; mechanism < 9; mechanism++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer steps = {0};
        const uint8_t open[] = {mechanism == 7 ? 1 : 0, 0};
        const uint8_t init[] = {0, 0, mechanism, mechanism == 5 ? 0x20 : 0};
        uint8_t data[sizeof(sign) + 32] = {0};
        char name[32];
        memcpy(data, sign, sizeof(sign));
        wire_writer_init(&steps, WIRE_FRAME_MAX);
#define PUT(op, payload) put_step(&steps, (op), (struct wire_span){(payload), sizeof(payload)})
        PUT(MODULE_SLOTS, slots);
        PUT(MODULE_EVENT, world);
        PUT(MODULE_OPEN, open);
        PUT(MODULE_FIND, find_private);
        PUT(MODULE_ATTRIBUTES, get);
        PUT(MODULE_SIGN_INIT, init);
        PUT(MODULE_SIGN, data);
        PUT(MODULE_SIGN_INIT, init);
        PUT(MODULE_SIGN, update);
        PUT(MODULE_SIGN, final);
        PUT(MODULE_VERIFY_INIT, init);
        PUT(MODULE_VERIFY, data);
        PUT(MODULE_DIGEST, digest);
        PUT(MODULE_LOGIN, login);
        PUT(MODULE_WORLD, world);
        PUT(MODULE_EVENT, world);
        PUT(MODULE_CANCEL, get);
        PUT(MODULE_CLOSE, world);
        PUT(MODULE_RESTART, world);
#undef PUT
        (void)snprintf(name, sizeof(name), "mechanism-%u", mechanism);
        int r = write_seed("fuzz_module", name, (struct wire_span){0},
                           (struct wire_span){steps.data, steps.len});
        if (r)
            return r;
    }
    return 0;
}

static int write_module_der(void)
{
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        const struct mtls_agent_key *key = &module_keys[i];
        uint8_t type = (uint8_t)key->type;
        struct wire_span prefix = {&type, 1};
        char name[64];
        (void)snprintf(name, sizeof(name), "spki-%s", key->name);
        int r = write_seed("fuzz_module_der", name, prefix,
                           (struct wire_span){key->spki.data, key->spki.len});
        (void)snprintf(name, sizeof(name), "cert-%s", key->name);
        if (!r && key->cert_count > 0)
            r = write_seed("fuzz_module_der", name, prefix,
                           (struct wire_span){key->certs[0].data, key->certs[0].len});
        if (r)
            return r;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "usage: %s OUTPUT_DIR GOLDEN_DIR\n", argv[0]);
        return 2;
    }
    output_dir = argv[1];
    int r = mkdir(output_dir, 0755) && errno != EEXIST ? -errno : 0;
    if (!r)
        r = write_messages("fuzz_request", client_messages, client_message_count);
    if (!r)
        r = write_messages("fuzz_worker_message", worker_messages, worker_message_count);
    if (!r)
        r = write_messages("fuzz_worker_message", reader_messages, reader_message_count);
    if (!r)
        r = write_golden(argv[2]);
    if (!r)
        r = write_signatures();
    if (!r)
        r = write_core_steps();
    if (!r)
        r = write_reader_steps();
    if (!r)
        r = write_bad_signatures();
    if (!r)
        r = write_module_steps();
    if (!r)
        r = write_module_der();
    if (r)
        (void)fprintf(stderr, "%s: %s\n", output_dir, strerror(-r));
    return r ? 1 : 0;
}
