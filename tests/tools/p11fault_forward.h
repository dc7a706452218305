/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of PKCS#11 2.40 that p11fault.so only forwards, as one list: name, whether the
 * first argument is a session, parameters, arguments. Those with faults of their own are in
 * p11fault.c.
 */
#ifndef MTLS_TESTS_P11FAULT_FORWARD_H
#define MTLS_TESTS_P11FAULT_FORWARD_H

#include <p11-kit/pkcs11.h>

#define S CK_SESSION_HANDLE s
#define BUF(x) CK_BYTE *x, CK_ULONG x##_len
#define OUT(x) CK_BYTE *x, CK_ULONG *x##_len
#define MECH CK_MECHANISM *mech
#define KEY(x) CK_OBJECT_HANDLE x
#define TEMPLATE CK_ATTRIBUTE *attrs, CK_ULONG count

/* clang-format off */
#define FORWARD_PLAIN_LIST(X)                                                                      \
    X(GetInfo, (CK_INFO *info), (info))

#define FORWARD_SLOT_LIST(X)                                                                       \
    X(GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info),        \
      (slot, type, info))                                                                          \
    X(InitToken, (CK_SLOT_ID slot, BUF(pin), CK_BYTE *label), (slot, pin, pin_len, label))

#define FORWARD_SESSION_LIST(X)                                                                    \
    X(InitPIN, (S, BUF(pin)), (s, pin, pin_len))                                                   \
    X(SetPIN, (S, BUF(old), BUF(pin)), (s, old, old_len, pin, pin_len))                            \
    X(GetSessionInfo, (S, CK_SESSION_INFO *info), (s, info))                                       \
    X(GetOperationState, (S, OUT(state)), (s, state, state_len))                                   \
    X(SetOperationState, (S, BUF(state), KEY(enc), KEY(auth)), (s, state, state_len, enc, auth))   \
    X(Logout, (S), (s))                                                                            \
    X(CreateObject, (S, TEMPLATE, CK_OBJECT_HANDLE *object), (s, attrs, count, object))            \
    X(CopyObject, (S, KEY(from), TEMPLATE, CK_OBJECT_HANDLE *to), (s, from, attrs, count, to))     \
    X(DestroyObject, (S, KEY(object)), (s, object))                                                \
    X(GetObjectSize, (S, KEY(object), CK_ULONG *size), (s, object, size))                          \
    X(SetAttributeValue, (S, KEY(object), TEMPLATE), (s, object, attrs, count))                    \
    X(EncryptInit, (S, MECH, KEY(key)), (s, mech, key))                                            \
    X(Encrypt, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                              \
    X(EncryptUpdate, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                        \
    X(EncryptFinal, (S, OUT(out)), (s, out, out_len))                                              \
    X(DecryptInit, (S, MECH, KEY(key)), (s, mech, key))                                            \
    X(Decrypt, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                              \
    X(DecryptUpdate, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                        \
    X(DecryptFinal, (S, OUT(out)), (s, out, out_len))                                              \
    X(DigestInit, (S, MECH), (s, mech))                                                            \
    X(Digest, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                               \
    X(DigestUpdate, (S, BUF(in)), (s, in, in_len))                                                 \
    X(DigestKey, (S, KEY(key)), (s, key))                                                          \
    X(DigestFinal, (S, OUT(out)), (s, out, out_len))                                               \
    X(SignUpdate, (S, BUF(in)), (s, in, in_len))                                                   \
    X(SignRecoverInit, (S, MECH, KEY(key)), (s, mech, key))                                        \
    X(SignRecover, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                          \
    X(VerifyInit, (S, MECH, KEY(key)), (s, mech, key))                                             \
    X(Verify, (S, BUF(in), BUF(sig)), (s, in, in_len, sig, sig_len))                               \
    X(VerifyUpdate, (S, BUF(in)), (s, in, in_len))                                                 \
    X(VerifyFinal, (S, BUF(sig)), (s, sig, sig_len))                                               \
    X(VerifyRecoverInit, (S, MECH, KEY(key)), (s, mech, key))                                      \
    X(VerifyRecover, (S, BUF(sig), OUT(out)), (s, sig, sig_len, out, out_len))                     \
    X(DigestEncryptUpdate, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                  \
    X(DecryptDigestUpdate, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                  \
    X(SignEncryptUpdate, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                    \
    X(DecryptVerifyUpdate, (S, BUF(in), OUT(out)), (s, in, in_len, out, out_len))                  \
    X(GenerateKey, (S, MECH, TEMPLATE, CK_OBJECT_HANDLE *key), (s, mech, attrs, count, key))       \
    X(GenerateKeyPair, (S, MECH, TEMPLATE, CK_ATTRIBUTE *private_attrs, CK_ULONG private_count,    \
      CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key),                                \
      (s, mech, attrs, count, private_attrs, private_count, public_key, private_key))              \
    X(WrapKey, (S, MECH, KEY(wrapping), KEY(key), OUT(out)), (s, mech, wrapping, key, out, out_len)) \
    X(UnwrapKey, (S, MECH, KEY(wrapping), BUF(in), TEMPLATE, CK_OBJECT_HANDLE *key),               \
      (s, mech, wrapping, in, in_len, attrs, count, key))                                          \
    X(DeriveKey, (S, MECH, KEY(base), TEMPLATE, CK_OBJECT_HANDLE *key),                            \
      (s, mech, base, attrs, count, key))                                                          \
    X(SeedRandom, (S, BUF(seed)), (s, seed, seed_len))                                             \
    X(GenerateRandom, (S, BUF(out)), (s, out, out_len))                                            \
    X(GetFunctionStatus, (S), (s))                                                                 \
    X(CancelFunction, (S), (s))
/* clang-format on */

#endif
