/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for display; see cert_info.h. */
#include "client/cli/cert_info.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/x509.h>

#include "common/wire.h"

DEFINE_CLEANUP(X509 *, x509, X509_free)
DEFINE_CLEANUP(BIO *, bio, BIO_free)

/* UTF-8 stays readable, control characters become \XX. */
#define CERT_INFO_NAME_FLAGS (XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB)

void cert_info_deinit(struct cert_info *info)
{
    free(info->title);
    free(info->subject);
    free(info->issuer);
    free(info->serial);
    *info = CERT_INFO_INIT;
}

static char *cert_info_from_bio(BIO *bio)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);

    return wire_span_to_text((struct wire_span){(const uint8_t *)data, len > 0 ? (size_t)len : 0});
}

static char *cert_info_name(const X509_NAME *name)
{
    _cleanup_(cleanup_bio) BIO *bio = BIO_new(BIO_s_mem());

    if (!bio || X509_NAME_print_ex(bio, name, 0, CERT_INFO_NAME_FLAGS) < 0)
        return NULL;
    return cert_info_from_bio(bio);
}

/* "value", or "type=value" for what is not the common name. */
static char *cert_info_entry(const X509_NAME_ENTRY *entry, bool with_type)
{
    _cleanup_(cleanup_bio) BIO *bio = BIO_new(BIO_s_mem());
    int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));

    if (!bio)
        return NULL;
    if (with_type)
        (void)BIO_printf(bio, "%s=", nid == NID_undef ? "?" : OBJ_nid2sn(nid));
    if (ASN1_STRING_print_ex(bio, X509_NAME_ENTRY_get_data(entry),
                             ASN1_STRFLGS_UTF8_CONVERT | ASN1_STRFLGS_ESC_CTRL) < 0)
        return NULL;
    return cert_info_from_bio(bio);
}

static char *cert_info_title(const X509_NAME *name)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);

    if (at >= 0)
        return cert_info_entry(X509_NAME_get_entry(name, at), false);
    if (X509_NAME_entry_count(name) > 0)
        return cert_info_entry(X509_NAME_get_entry(name, 0), true);
    return strdup("");
}

static char *cert_info_serial(const X509 *cert)
{
    _cleanup_(cleanup_bio) BIO *bio = BIO_new(BIO_s_mem());

    if (!bio || i2a_ASN1_INTEGER(bio, X509_get0_serialNumber(cert)) < 0)
        return NULL;
    return cert_info_from_bio(bio);
}

static bool cert_info_time(const ASN1_TIME *time, time_t *ret_time)
{
    struct tm tm = {0};

    if (!ASN1_TIME_to_tm(time, &tm))
        return false;
    *ret_time = timegm(&tm);
    return true;
}

static int cert_info_read(const X509 *cert, struct cert_info *info)
{
    if (!cert_info_time(X509_get0_notBefore(cert), &info->not_before) ||
        !cert_info_time(X509_get0_notAfter(cert), &info->not_after))
        return CERT_INFO_E_UNREADABLE;
    info->title = cert_info_title(X509_get_subject_name(cert));
    info->subject = cert_info_name(X509_get_subject_name(cert));
    info->issuer = cert_info_name(X509_get_issuer_name(cert));
    info->serial = cert_info_serial(cert);
    if (!info->title || !info->subject || !info->issuer || !info->serial)
        return CERT_INFO_E_UNREADABLE;
    return 0;
}

int cert_info_parse(struct mtls_agent_bytes der, struct cert_info *ret_info)
{
    const uint8_t *at = der.data;
    _cleanup_(cleanup_x509) X509 *cert = d2i_X509(NULL, &at, (long)der.len);
    struct cert_info info = CERT_INFO_INIT;

    if (!cert || at != der.data + der.len)
        return CERT_INFO_E_UNREADABLE;
    int r = cert_info_read(cert, &info);
    if (r) {
        cert_info_deinit(&info);
        return r;
    }
    *ret_info = info;
    return 0;
}
