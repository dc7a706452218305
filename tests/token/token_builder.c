/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens for tests; see token_builder.h. A step that fails ends the child with a line on standard
 * error: nothing after it would make sense.
 */
#include "token_builder.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <p11-kit/pkcs11.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "pkcs11/public_key.h"

static CK_UTF8CHAR so_pin[] = "so-pin-1234";
static CK_UTF8CHAR user_pin[] = BUILDER_PIN;

static CK_FUNCTION_LIST *p11;
static CK_SESSION_HANDLE session;
static const char *directory;

/* The certificates' issuers, in software: a root, and an intermediate for those that want it. */
static EVP_PKEY *root_key;
static X509 *root_cert;
static EVP_PKEY *middle_key;
static X509 *middle_cert;

static void require(bool done, const char *what)
{
    if (done)
        return;
    (void)fprintf(stderr, "token_builder: %s failed\n", what);
    _exit(1);
}

#define REQUIRE(step) require((step), #step)
#define REQUIRE_RV(call) require((call) == CKR_OK, #call)

const char *builder_module(void)
{
    static const char *const paths[] = {
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    };

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (access(paths[i], R_OK) == 0)
            return paths[i];
    return NULL;
}

static void write_file(const char *name, const char *suffix, const void *data, size_t len)
{
    char path[BUILDER_PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s%s", directory, name, suffix);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && write(fd, data, len) == (ssize_t)len);
}

/* An initialised token has a slot with a new number. */
static CK_SLOT_ID find_slot(const CK_UTF8CHAR padded_label[static 32])
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = ARRAY_SIZE(slots);
    CK_TOKEN_INFO info;
    CK_ULONG at = 0;

    REQUIRE_RV(p11->C_GetSlotList(CK_TRUE, slots, &count));
    while (at < count && (p11->C_GetTokenInfo(slots[at], &info) != CKR_OK ||
                          memcmp(info.label, padded_label, sizeof(info.label)) != 0))
        at++;
    REQUIRE(at < count);
    return slots[at];
}

static void open_token(const char *label)
{
    CK_RV (*get_list)(CK_FUNCTION_LIST **) = NULL;
    void *handle = dlopen(builder_module(), RTLD_NOW);
    CK_UTF8CHAR padded[32];
    CK_SLOT_ID slots[16];
    CK_ULONG count = ARRAY_SIZE(slots);

    REQUIRE(handle);
    *(void **)&get_list = dlsym(handle, "C_GetFunctionList");
    REQUIRE(get_list && get_list(&p11) == CKR_OK);
    REQUIRE_RV(p11->C_Initialize(NULL));
    REQUIRE_RV(p11->C_GetSlotList(CK_TRUE, slots, &count));
    memset(padded, ' ', sizeof(padded));
    memcpy(padded, label, strlen(label));
    /* The last slot is the one whose token is not initialised yet. */
    REQUIRE_RV(p11->C_InitToken(slots[count - 1], so_pin, sizeof(so_pin) - 1, padded));
    REQUIRE_RV(p11->C_OpenSession(find_slot(padded), CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                                  NULL, &session));
    REQUIRE_RV(p11->C_Login(session, CKU_SO, so_pin, sizeof(so_pin) - 1));
    REQUIRE_RV(p11->C_InitPIN(session, user_pin, sizeof(user_pin) - 1));
    REQUIRE_RV(p11->C_Logout(session));
    REQUIRE_RV(p11->C_Login(session, CKU_USER, user_pin, sizeof(user_pin) - 1));
}

#define VALID_S 86400L
#define EXPIRED_S (-60L)

static X509 *make_cert(const char *subject, EVP_PKEY *key, bool is_ca, long valid_s, X509 *issuer,
                       EVP_PKEY *issuer_key)
{
    static long serial;
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509V3_CTX context;

    REQUIRE(X509_set_version(cert, 2) && ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial) &&
            X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
            X509_gmtime_adj(X509_getm_notAfter(cert), valid_s) && X509_set_pubkey(cert, key) &&
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)subject,
                                       -1, -1, 0) &&
            X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)));
    X509V3_set_ctx(&context, issuer ? issuer : cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, NID_basic_constraints,
                                                    is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    REQUIRE(extension && X509_add_ext(cert, extension, -1));
    X509_EXTENSION_free(extension);
    REQUIRE(X509_sign(cert, issuer_key, EVP_sha256()));
    return cert;
}

static void make_issuers(void)
{
    root_key = EVP_EC_gen("P-256");
    middle_key = EVP_EC_gen("P-256");
    root_cert = make_cert("Test Root", root_key, true, VALID_S, NULL, root_key);
    middle_cert = make_cert("Test Intermediate", middle_key, true, VALID_S, root_cert, root_key);
}

/* A certificate object that is no X.509. */
static void store_odd_cert(CK_CERTIFICATE_TYPE type)
{
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_BYTE bytes[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    CK_OBJECT_HANDLE object;
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &class, sizeof(class)},  {CKA_CERTIFICATE_TYPE, &type, sizeof(type)},
        {CKA_TOKEN, &yes, sizeof(yes)},      {CKA_PRIVATE, &no, sizeof(no)},
        {CKA_SUBJECT, bytes, sizeof(bytes)}, {CKA_VALUE, bytes, sizeof(bytes)},
    };

    REQUIRE_RV(p11->C_CreateObject(session, attributes, ARRAY_SIZE(attributes), &object));
}

static void store_cert(X509 *cert, const char *label, uint8_t id)
{
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_CERTIFICATE_TYPE type = CKC_X_509;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    unsigned char *der = NULL;
    unsigned char *subject = NULL;
    int der_len = i2d_X509(cert, &der);
    int subject_len = i2d_X509_NAME(X509_get_subject_name(cert), &subject);
    CK_OBJECT_HANDLE object;
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_CERTIFICATE_TYPE, &type, sizeof(type)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &no, sizeof(no)},
        {CKA_SUBJECT, subject, (CK_ULONG)subject_len},
        {CKA_VALUE, der, (CK_ULONG)der_len},
        {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)},
        {CKA_ID, &id, 1},
    };

    REQUIRE_RV(p11->C_CreateObject(session, attributes, ARRAY_SIZE(attributes), &object));
    OPENSSL_free(der);
    OPENSSL_free(subject);
}

/* The mechanism and the curve of each kind. */
static const struct {
    CK_MECHANISM_TYPE mechanism;
    const char *params;
    size_t params_len;
} kinds[] = {
    [BUILDER_P256] = {CKM_EC_KEY_PAIR_GEN, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10},
    [BUILDER_P384] = {CKM_EC_KEY_PAIR_GEN, "\x06\x05\x2b\x81\x04\x00\x22", 7},
    [BUILDER_P521] = {CKM_EC_KEY_PAIR_GEN, "\x06\x05\x2b\x81\x04\x00\x23", 7},
    [BUILDER_RSA2048] = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0},
    [BUILDER_ED25519] = {CKM_EC_EDWARDS_KEY_PAIR_GEN,
                         "\x13\x0c"
                         "edwards25519",
                         14},
};

static void generate(const struct builder_key *key, CK_OBJECT_HANDLE *ret_public)
{
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ULONG bits = 2048;
    CK_BYTE exponent[] = {1, 0, 1};
    CK_BYTE id = key->id;
    CK_OBJECT_HANDLE private_key;
    CK_MECHANISM mechanism = {kinds[key->kind].mechanism, NULL, 0};
    bool is_rsa = key->kind == BUILDER_RSA2048;
    CK_BBOOL *sign = key->flags & BUILDER_NO_SIGN ? &no : &yes;
    CK_BBOOL *always = key->flags & BUILDER_ALWAYS_AUTH ? &yes : &no;
    CK_ATTRIBUTE public_template[] = {
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &no, sizeof(no)},
        {CKA_VERIFY, &yes, sizeof(yes)},
        {CKA_ID, &id, 1},
        {CKA_LABEL, (void *)(uintptr_t)key->label, strlen(key->label)},
        {is_rsa ? CKA_MODULUS_BITS : CKA_EC_PARAMS,
         is_rsa ? (void *)&bits : (void *)(uintptr_t)kinds[key->kind].params,
         is_rsa ? sizeof(bits) : kinds[key->kind].params_len},
        {CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent)},
    };
    CK_ATTRIBUTE private_template[] = {
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},
        {CKA_SIGN, sign, sizeof(*sign)},
        {CKA_ALWAYS_AUTHENTICATE, always, sizeof(*always)},
        {CKA_ID, &id, 1},
        {CKA_LABEL, (void *)(uintptr_t)key->label, strlen(key->label)},
    };

    REQUIRE_RV(p11->C_GenerateKeyPair(session, &mechanism, public_template,
                                      ARRAY_SIZE(public_template) - !is_rsa, private_template,
                                      ARRAY_SIZE(private_template), ret_public, &private_key));
}

static struct wire_span get_attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                                      uint8_t *buffer, size_t size)
{
    CK_ATTRIBUTE attribute = {.type = type, .ulValueLen = size};

    attribute.pValue = buffer;
    REQUIRE_RV(p11->C_GetAttributeValue(session, object, &attribute, 1));
    return (struct wire_span){buffer, attribute.ulValueLen};
}

static void read_public(const struct builder_key *key, CK_OBJECT_HANDLE object,
                        struct public_key *ret_key)
{
    uint8_t first[600];
    uint8_t second[600];

    if (key->kind == BUILDER_RSA2048)
        REQUIRE(
            public_key_from_rsa(get_attribute(object, CKA_MODULUS, first, sizeof(first)),
                                get_attribute(object, CKA_PUBLIC_EXPONENT, second, sizeof(second)),
                                ret_key) == 0);
    else
        REQUIRE(public_key_from_ec(get_attribute(object, CKA_EC_PARAMS, first, sizeof(first)),
                                   get_attribute(object, CKA_EC_POINT, second, sizeof(second)),
                                   ret_key) == 0);
}

/* The same RSA key under the algorithm id-RSASSA-PSS. */
static EVP_PKEY *as_pss(EVP_PKEY *rsa)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pss = NULL;

    REQUIRE(EVP_PKEY_todata(rsa, EVP_PKEY_PUBLIC_KEY, &params) && EVP_PKEY_fromdata_init(ctx) > 0 &&
            EVP_PKEY_fromdata(ctx, &pss, EVP_PKEY_PUBLIC_KEY, params) > 0);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return pss;
}

/* Of the same kind, so that nothing but the certificate tells the two apart. */
static EVP_PKEY *make_old_key(const struct builder_key *key)
{
    return key->kind == BUILDER_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                        : EVP_EC_gen("P-256");
}

static void add_cert(const struct builder_key *key, EVP_PKEY *public_key)
{
    bool by_middle = key->flags & BUILDER_INTERMEDIATE;
    EVP_PKEY *pkey = key->flags & BUILDER_PSS_CERT ? as_pss(public_key) : public_key;
    X509 *cert = make_cert(key->label, pkey, key->flags & BUILDER_CA_CERT, VALID_S,
                           by_middle ? middle_cert : root_cert, by_middle ? middle_key : root_key);
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);

    write_file(key->label, ".der", der, (size_t)len);
    if (key->flags & BUILDER_OLD_CERT)
        store_cert(make_cert("old", make_old_key(key), false, EXPIRED_S, root_cert, root_key),
                   key->label, key->id);
    if (key->flags & BUILDER_ODD_CERTS) {
        store_odd_cert(CKC_X_509);
        store_odd_cert(CKC_OPENPGP);
    }
    if (key->flags & BUILDER_OTHER_ID)
        store_cert(cert, "some other label", (uint8_t)(key->id + 100));
    else if (key->flags & BUILDER_CERT)
        store_cert(cert, key->label, key->id);
    if (by_middle)
        store_cert(middle_cert, "intermediate", 250);
    OPENSSL_free(der);
}

static void add_key(const struct builder_key *key)
{
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    struct public_key public_key;

    generate(key, &object);
    read_public(key, object, &public_key);
    write_file(key->label, ".spki", public_key.spki.data, public_key.spki.len);
    if (key->flags & (BUILDER_CERT | BUILDER_CERT_FILE | BUILDER_OTHER_ID))
        add_cert(key, public_key.pkey);
    if (key->flags & BUILDER_NO_PUBLIC)
        REQUIRE_RV(p11->C_DestroyObject(session, object));
}

static void set_conf(void)
{
    char conf[BUILDER_PATH_MAX];

    (void)snprintf(conf, sizeof(conf), "%s/softhsm2.conf", directory);
    REQUIRE(setenv("SOFTHSM2_CONF", conf, 1) == 0);
}

static void build(const char *token_label, const struct builder_key *keys, size_t count)
{
    char tokens[BUILDER_PATH_MAX];
    char text[2 * BUILDER_PATH_MAX];

    (void)snprintf(text, sizeof(text),
                   "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = "
                   "ERROR\n",
                   directory);
    write_file("softhsm2", ".conf", text, strlen(text));
    (void)snprintf(tokens, sizeof(tokens), "%s/tokens", directory);
    REQUIRE(mkdir(tokens, 0700) == 0);
    set_conf();
    make_issuers();
    open_token(token_label);
    for (size_t i = 0; i < count; i++)
        add_key(&keys[i]);
}

static bool child_succeeds(pid_t child)
{
    int status = 0;

    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

bool builder_make(const char *token_label, const struct builder_key *keys, size_t count,
                  char ret_dir[BUILDER_PATH_MAX])
{
    const char *tmp = getenv("TMPDIR");

    if (!builder_module())
        return false;
    (void)snprintf(ret_dir, BUILDER_PATH_MAX, "%s/mtls-token-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(ret_dir))
        return false;
    directory = ret_dir;
    pid_t child = fork();
    if (child == 0) {
        build(token_label, keys, count);
        _exit(0);
    }
    return child_succeeds(child);
}

bool builder_add_token(const char *dir, const char *token_label)
{
    directory = dir;
    pid_t child = fork();
    if (child == 0) {
        set_conf();
        open_token(token_label);
        _exit(0);
    }
    return child_succeeds(child);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void builder_remove(const char *dir)
{
    (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
