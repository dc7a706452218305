/* SPDX-License-Identifier: Apache-2.0 */
/* java.security, the JVM's list of its providers. Pure. */
#ifndef MTLS_CLI_JAVA_SECURITY_H
#define MTLS_CLI_JAVA_SECURITY_H

/**
 * java_security_provider_number() - the N of security.provider.N for one more SunPKCS11
 * @text:       of the JVM's java.security, NUL-terminated
 *
 * That of the SunPKCS11 without configuration, which does nothing, so that it is replaced; else the
 * next free one: the JVM reads the numbers up to the first gap.
 */
unsigned int java_security_provider_number(const char *text);

#endif
