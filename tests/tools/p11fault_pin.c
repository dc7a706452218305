/* SPDX-License-Identifier: Apache-2.0 */
/* A retry counter in a file, under its lock; see p11fault_pin.h. */
#include "p11fault_pin.h"

#include <string.h>
#include <time.h>

#define ALL_FLAGS (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)

static int counter_open(const char *label)
{
    char suffix[FAULT_LABEL_LEN + 8];

    (void)snprintf(suffix, sizeof(suffix), ".pin-%s", label);
    for (char *at = suffix + 1; *at; at++)
        *at = *at == '/' ? '_' : *at;
    return fault_rules_open(suffix);
}

static unsigned int counter_read(int fd, unsigned int full)
{
    char text[16] = {0};
    unsigned int tries = full;

    if (pread(fd, text, sizeof(text) - 1, 0) > 0)
        tries = (unsigned int)strtoul(text, NULL, 10);
    return tries < full ? tries : full;
}

static void counter_write(int fd, unsigned int tries)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u\n", tries);

    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)len, 0);
}

CK_RV fault_pin_count(const struct fault_settings *settings, const char *label,
                      CK_RV (*login)(void *closure), void *closure)
{
    if (settings->pin_tries == 0)
        return login(closure);

    _cleanup_close_ int fd = counter_open(label);
    if (fd < 0)
        return CKR_GENERAL_ERROR;
    unsigned int tries = counter_read(fd, settings->pin_tries);
    if (tries == 0)
        return CKR_PIN_LOCKED;
    CK_RV rv = login(closure);
    if (rv == CKR_OK)
        counter_write(fd, settings->pin_tries);
    if (rv != CKR_PIN_INCORRECT)
        return rv;
    counter_write(fd, tries - 1);
    return tries > 1 ? CKR_PIN_INCORRECT : CKR_PIN_LOCKED;
}

CK_RV fault_pinpad(const struct fault_settings *settings, CK_BYTE **pin, CK_ULONG *len)
{
    const struct timespec wait = {.tv_sec = settings->pinpad_wait_ms / 1000,
                                  .tv_nsec = settings->pinpad_wait_ms % 1000 * 1000000L};
    char *typed = getenv("P11FAULT_PIN");

    if (*pin)
        return CKR_ARGUMENTS_BAD;
    (void)nanosleep(&wait, NULL);
    if (!typed)
        return CKR_FUNCTION_CANCELED;
    *pin = (CK_BYTE *)typed;
    *len = strlen(typed);
    return CKR_OK;
}

void fault_pin_flags(const struct fault_settings *settings, const char *label, CK_FLAGS *flags)
{
    if (settings->pin_tries == 0)
        return;

    _cleanup_close_ int fd = counter_open(label);
    unsigned int tries = counter_read(fd, settings->pin_tries);
    *flags &= ~(CK_FLAGS)ALL_FLAGS;
    if (tries == 0)
        *flags |= CKF_USER_PIN_LOCKED;
    else if (tries < settings->pin_tries)
        *flags |= CKF_USER_PIN_COUNT_LOW;
    if (tries == 1)
        *flags |= CKF_USER_PIN_FINAL_TRY;
}
