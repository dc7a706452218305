/* SPDX-License-Identifier: Apache-2.0 */
/* Core-worker messages, both halves of each side by side; see worker_protocol.h. */
#include "common/worker_protocol.h"

#define WORKER_PATH_MAX 4096u

int worker_load_encode(struct wire_writer *writer, const struct worker_load *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_LOAD);

    wire_put_string(writer, msg->path);
    wire_put_string(writer, msg->init_args);
    wire_put_u32(writer, msg->threads);
    wire_put_u32(writer, msg->sessions);
    wire_put_u32(writer, msg->verify);
    wire_put_u32(writer, (uint32_t)msg->cert_count);
    for (size_t i = 0; i < msg->cert_count; i++) {
        wire_put_string(writer, msg->certs[i].uri);
        wire_put_string(writer, msg->certs[i].cert);
    }
    return wire_end_frame(writer, mark);
}

int worker_load_parse(struct wire_span body, struct worker_load *ret_msg)
{
    struct wire_reader reader;
    struct worker_load msg = {0};

    wire_reader_init(&reader, body);
    msg.path = wire_get_text(&reader, WORKER_PATH_MAX);
    msg.init_args = wire_get_text(&reader, WORKER_PATH_MAX);
    msg.threads = wire_get_u32(&reader);
    msg.sessions = wire_get_u32(&reader);
    uint32_t verify = wire_get_u32(&reader);
    uint32_t cert_count = wire_get_u32(&reader);
    if (cert_count > WORKER_CERTS_MAX)
        return WIRE_E_MALFORMED;
    for (uint32_t i = 0; i < cert_count; i++) {
        msg.certs[i].uri = wire_get_text(&reader, PROTOCOL_SELECTOR_MAX);
        msg.certs[i].cert = wire_get_string(&reader, PROTOCOL_DER_MAX);
    }
    if (wire_reader_finish(&reader) || verify > VERIFY_NEVER || msg.threads < 1 ||
        msg.threads > WORKER_THREADS_MAX)
        return WIRE_E_MALFORMED;
    msg.verify = (enum verify_mode)verify;
    msg.cert_count = cert_count;
    *ret_msg = msg;
    return 0;
}

int worker_login_encode(struct wire_writer *writer, const struct worker_login *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_LOGIN);

    wire_put_u32(writer, msg->seq);
    wire_put_u32(writer, msg->token);
    wire_put_u32(writer, msg->tries);
    wire_put_bool(writer, msg->keypad);
    wire_put_u32(writer, msg->timeout_ms);
    return wire_end_frame(writer, mark);
}

int worker_login_parse(struct wire_span body, struct worker_login *ret_msg)
{
    struct wire_reader reader;
    struct worker_login msg = {0};

    wire_reader_init(&reader, body);
    msg.seq = wire_get_u32(&reader);
    msg.token = wire_get_u32(&reader);
    uint32_t tries = wire_get_u32(&reader);
    msg.keypad = wire_get_bool(&reader);
    msg.timeout_ms = wire_get_u32(&reader);
    if (wire_reader_finish(&reader) || tries > WORKER_TRIES_ALL)
        return WIRE_E_MALFORMED;
    msg.tries = (enum worker_tries)tries;
    *ret_msg = msg;
    return 0;
}

int worker_logout_encode(struct wire_writer *writer, const struct worker_logout *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_LOGOUT);

    wire_put_u32(writer, msg->seq);
    wire_put_u32(writer, msg->token);
    return wire_end_frame(writer, mark);
}

int worker_logout_parse(struct wire_span body, struct worker_logout *ret_msg)
{
    struct wire_reader reader;
    struct worker_logout msg = {0};

    wire_reader_init(&reader, body);
    msg.seq = wire_get_u32(&reader);
    msg.token = wire_get_u32(&reader);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int worker_set_pin_encode(struct wire_writer *writer, const struct worker_set_pin *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_SET_PIN);

    wire_put_u32(writer, msg->seq);
    wire_put_u32(writer, msg->token);
    wire_put_u32(writer, msg->change);
    wire_put_u32(writer, msg->timeout_ms);
    return wire_end_frame(writer, mark);
}

int worker_set_pin_parse(struct wire_span body, struct worker_set_pin *ret_msg)
{
    struct wire_reader reader;
    struct worker_set_pin msg = {0};

    wire_reader_init(&reader, body);
    msg.seq = wire_get_u32(&reader);
    msg.token = wire_get_u32(&reader);
    uint32_t change = wire_get_u32(&reader);
    msg.timeout_ms = wire_get_u32(&reader);
    if (wire_reader_finish(&reader) || change < WORKER_PIN_CHANGE || change > WORKER_PIN_UNBLOCK)
        return WIRE_E_MALFORMED;
    msg.change = (enum worker_pin_change)change;
    *ret_msg = msg;
    return 0;
}

int worker_sign_encode(struct wire_writer *writer, const struct worker_sign *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_SIGN);

    wire_put_u32(writer, msg->seq);
    wire_put_u32(writer, msg->slot);
    wire_put_u32(writer, msg->key);
    wire_put_u32(writer, msg->scheme);
    wire_put_u32(writer, msg->tries);
    wire_put_bool(writer, msg->keypad);
    wire_put_string(writer, msg->data);
    return wire_end_frame(writer, mark);
}

int worker_sign_parse(struct wire_span body, struct worker_sign *ret_msg)
{
    struct wire_reader reader;
    struct worker_sign msg = {0};

    wire_reader_init(&reader, body);
    msg.seq = wire_get_u32(&reader);
    msg.slot = wire_get_u32(&reader);
    msg.key = wire_get_u32(&reader);
    msg.scheme = wire_get_u32(&reader);
    uint32_t tries = wire_get_u32(&reader);
    msg.keypad = wire_get_bool(&reader);
    msg.data = wire_get_string(&reader, WORKER_DATA_MAX);
    if (wire_reader_finish(&reader) || msg.slot >= WORKER_WINDOW_MAX || tries > WORKER_TRIES_ALL)
        return WIRE_E_MALFORMED;
    msg.tries = (enum worker_tries)tries;
    *ret_msg = msg;
    return 0;
}

int worker_token_encode(struct wire_writer *writer, const struct worker_token *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_TOKEN);

    wire_put_u32(writer, msg->token);
    wire_put_u32(writer, msg->flags);
    wire_put_string(writer, msg->label);
    wire_put_string(writer, msg->serial);
    wire_put_string(writer, msg->manufacturer);
    wire_put_string(writer, msg->model);
    wire_put_string(writer, msg->slot);
    return wire_end_frame(writer, mark);
}

int worker_token_parse(struct wire_span body, struct worker_token *ret_msg)
{
    struct wire_reader reader;
    struct worker_token msg = {0};

    wire_reader_init(&reader, body);
    msg.token = wire_get_u32(&reader);
    msg.flags = wire_get_u32(&reader);
    msg.label = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    msg.serial = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    msg.manufacturer = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    msg.model = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    msg.slot = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int worker_key_encode(struct wire_writer *writer, const struct worker_key *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_KEY);

    wire_put_u32(writer, msg->key);
    wire_put_u32(writer, msg->token);
    wire_put_u32(writer, msg->type);
    wire_put_u32(writer, msg->bits);
    wire_put_bool(writer, msg->usable);
    wire_put_bool(writer, msg->always_authenticate);
    wire_put_u32(writer, (uint32_t)msg->scheme_count);
    for (size_t i = 0; i < msg->scheme_count; i++)
        wire_put_u32(writer, msg->schemes[i]);
    wire_put_string(writer, msg->label);
    wire_put_string(writer, msg->ck_id);
    wire_put_string(writer, msg->spki);
    wire_put_u32(writer, (uint32_t)msg->cert_count);
    for (size_t i = 0; i < msg->cert_count; i++)
        wire_put_string(writer, msg->certs[i]);
    return wire_end_frame(writer, mark);
}

int worker_key_parse(struct wire_span body, struct worker_key *ret_msg)
{
    struct wire_reader reader;
    struct worker_key msg = {0};

    wire_reader_init(&reader, body);
    msg.key = wire_get_u32(&reader);
    msg.token = wire_get_u32(&reader);
    uint32_t type = wire_get_u32(&reader);
    msg.bits = wire_get_u32(&reader);
    msg.usable = wire_get_bool(&reader);
    msg.always_authenticate = wire_get_bool(&reader);
    uint32_t scheme_count = wire_get_u32(&reader);
    if (scheme_count > SCHEMES_MAX)
        return WIRE_E_MALFORMED;
    for (uint32_t i = 0; i < scheme_count; i++)
        msg.schemes[i] = wire_get_u32(&reader);
    msg.label = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    msg.ck_id = wire_get_string(&reader, PROTOCOL_ID_MAX);
    msg.spki = wire_get_string(&reader, PROTOCOL_DER_MAX);
    uint32_t cert_count = wire_get_u32(&reader);
    if (cert_count > PROTOCOL_CERTS_MAX)
        return WIRE_E_MALFORMED;
    for (uint32_t i = 0; i < cert_count; i++)
        msg.certs[i] = wire_get_string(&reader, PROTOCOL_DER_MAX);
    if (wire_reader_finish(&reader) || type < KEY_TYPE_RSA || type > KEY_TYPE_ED25519)
        return WIRE_E_MALFORMED;
    msg.type = (enum key_type)type;
    msg.scheme_count = scheme_count;
    msg.cert_count = cert_count;
    *ret_msg = msg;
    return 0;
}

int worker_inventory_encode(struct wire_writer *writer, const struct worker_inventory *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_INVENTORY);

    wire_put_u32(writer, msg->token_count);
    wire_put_u32(writer, msg->key_count);
    wire_put_bool(writer, msg->uses_pcsc);
    return wire_end_frame(writer, mark);
}

int worker_inventory_parse(struct wire_span body, struct worker_inventory *ret_msg)
{
    struct wire_reader reader;
    struct worker_inventory msg = {0};

    wire_reader_init(&reader, body);
    msg.token_count = wire_get_u32(&reader);
    msg.key_count = wire_get_u32(&reader);
    msg.uses_pcsc = wire_get_bool(&reader);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int worker_reply_encode(struct wire_writer *writer, uint8_t type, const struct worker_reply *msg)
{
    size_t mark = wire_begin_frame(writer, type);

    wire_put_u32(writer, msg->seq);
    wire_put_u32(writer, msg->result);
    wire_put_u32(writer, msg->ck_rv);
    wire_put_u32(writer, msg->token_flags);
    wire_put_string(writer, msg->text);
    wire_put_string(writer, msg->signature);
    return wire_end_frame(writer, mark);
}

int worker_reply_parse(struct wire_span body, struct worker_reply *ret_msg)
{
    struct wire_reader reader;
    struct worker_reply msg = {0};

    wire_reader_init(&reader, body);
    msg.seq = wire_get_u32(&reader);
    uint32_t result = wire_get_u32(&reader);
    msg.ck_rv = wire_get_u32(&reader);
    msg.token_flags = wire_get_u32(&reader);
    msg.text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    msg.signature = wire_get_string(&reader, PROTOCOL_SIGNATURE_MAX);
    if (wire_reader_finish(&reader) || result > WORKER_E_REFUSED)
        return WIRE_E_MALFORMED;
    msg.result = (enum worker_result)result;
    *ret_msg = msg;
    return 0;
}

int worker_failure_encode(struct wire_writer *writer, const struct worker_failure *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_FAILURE);

    wire_put_bool(writer, msg->permanent);
    wire_put_u32(writer, msg->ck_rv);
    wire_put_bool(writer, msg->uses_pcsc);
    wire_put_string(writer, msg->text);
    return wire_end_frame(writer, mark);
}

int worker_failure_parse(struct wire_span body, struct worker_failure *ret_msg)
{
    struct wire_reader reader;
    struct worker_failure msg = {0};

    wire_reader_init(&reader, body);
    msg.permanent = wire_get_bool(&reader);
    msg.ck_rv = wire_get_u32(&reader);
    msg.uses_pcsc = wire_get_bool(&reader);
    msg.text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int worker_module_encode(struct wire_writer *writer, const struct worker_module *msg)
{
    size_t mark = wire_begin_frame(writer, WORKER_MODULE);

    wire_put_string(writer, msg->name);
    wire_put_string(writer, msg->path);
    return wire_end_frame(writer, mark);
}

int worker_module_parse(struct wire_span body, struct worker_module *ret_msg)
{
    struct wire_reader reader;
    struct worker_module msg = {0};

    wire_reader_init(&reader, body);
    msg.name = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    msg.path = wire_get_text(&reader, WORKER_PATH_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int worker_empty_encode(struct wire_writer *writer, uint8_t type)
{
    size_t mark = wire_begin_frame(writer, type);

    return wire_end_frame(writer, mark);
}
