/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader driver for pcscd (IFD handler 3.0) whose readers are Unix sockets, ifd_socket_reader.h.
 *
 * reader.conf: DEVICENAME /dev/null:PATH of the socket, LIBPATH this file. pcscd looks at what
 * stands before the first colon and refuses a device that does not exist. With
 * /dev/null:poll:PATH a reader has its presence asked every 400 ms, as simple drivers have;
 * without, pcscd hears of a change at once. /dev/null:keys:PATH has keys for the PIN (PC/SC part
 * 10, FEATURE_VERIFY_PIN_DIRECT).
 */
#include "ifd_socket_reader.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma GCC visibility push(default)
#include <PCSC/ifdhandler.h>
#include <PCSC/reader.h>
#pragma GCC visibility pop

#define READERS_MAX 16
#define POLL_PREFIX "poll:"
#define KEYS_PREFIX "keys:"
#define VERIFY_CODE SCARD_CTL_CODE(3600) /* our own number for the feature */

struct channel {
    bool used;
    bool is_polled; /* pcscd asks for presence itself */
    bool has_keys;
    DWORD lun;
    struct reader reader;
    UCHAR atr[MAX_ATR_SIZE];
    size_t atr_len;
};

static struct channel channels[READERS_MAX];
static pthread_mutex_t channels_lock = PTHREAD_MUTEX_INITIALIZER; /* `used` and `lun` */

static struct channel *channel_find(bool used, DWORD lun)
{
    struct channel *found = NULL;

    (void)pthread_mutex_lock(&channels_lock);
    for (size_t i = 0; i < READERS_MAX && found == NULL; i++)
        if (channels[i].used == used && (!used || channels[i].lun == lun))
            found = &channels[i];
    (void)pthread_mutex_unlock(&channels_lock);
    return found;
}

static void channel_set_used(struct channel *channel, bool used)
{
    (void)pthread_mutex_lock(&channels_lock);
    channel->used = used;
    (void)pthread_mutex_unlock(&channels_lock);
}

/* Whether @path begins with @prefix, which is taken off. */
static bool take_prefix(const char **path, const char *prefix)
{
    size_t len = strlen(prefix);

    if (strncmp(*path, prefix, len) != 0)
        return false;
    *path += len;
    return true;
}

/* pcscd creates channels one after the other. */
RESPONSECODE IFDHCreateChannelByName(DWORD Lun, LPSTR DeviceName)
{
    struct channel *channel = channel_find(false, 0);
    const char *path = strchr(DeviceName, ':');

    if (channel == NULL || path == NULL)
        return IFD_COMMUNICATION_ERROR;
    path++;
    *channel = (struct channel){.lun = Lun};
    channel->is_polled = take_prefix(&path, POLL_PREFIX);
    channel->has_keys = take_prefix(&path, KEYS_PREFIX);
    if (reader_init(&channel->reader, path) != 0)
        return IFD_COMMUNICATION_ERROR;
    channel_set_used(channel, true);
    return IFD_SUCCESS;
}

/* A number alone names no socket. */
RESPONSECODE IFDHCreateChannel(DWORD Lun, DWORD Channel)
{
    (void)Lun;
    (void)Channel;
    return IFD_NO_SUCH_DEVICE;
}

RESPONSECODE IFDHCloseChannel(DWORD Lun)
{
    struct channel *channel = channel_find(true, Lun);

    if (channel == NULL)
        return IFD_NO_SUCH_DEVICE;
    reader_deinit(&channel->reader);
    channel_set_used(channel, false);
    return IFD_SUCCESS;
}

static RESPONSECODE wait_change(DWORD Lun, int timeout_ms)
{
    struct channel *channel = channel_find(true, Lun);

    if (channel == NULL)
        return IFD_NO_SUCH_DEVICE;
    reader_wait_change(&channel->reader, timeout_ms);
    return IFD_SUCCESS;
}

/* pcscd wants it to look again, and not only at the end. */
static RESPONSECODE wake_up(DWORD Lun)
{
    struct channel *channel = channel_find(true, Lun);

    if (channel == NULL)
        return IFD_NO_SUCH_DEVICE;
    reader_wake(&channel->reader);
    return IFD_SUCCESS;
}

static RESPONSECODE give(const void *value, size_t len, PDWORD Length, PUCHAR Value)
{
    if (*Length < len)
        return IFD_ERROR_INSUFFICIENT_BUFFER;
    if (len > 0)
        (void)memcpy(Value, value, len);
    *Length = len;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHGetCapabilities(DWORD Lun, DWORD Tag, PDWORD Length, PUCHAR Value)
{
    RESPONSECODE (*const wait)(DWORD, int) = wait_change;
    RESPONSECODE (*const stop)(DWORD) = wake_up;
    const UCHAR one = 1, readers_max = READERS_MAX;
    struct channel *channel;

    /* pcscd asks these two before there is a channel */
    if (Tag == TAG_IFD_SIMULTANEOUS_ACCESS)
        return give(&readers_max, 1, Length, Value);
    if (Tag == TAG_IFD_THREAD_SAFE || Tag == TAG_IFD_SLOTS_NUMBER)
        return give(&one, 1, Length, Value);
    channel = channel_find(true, Lun);
    if (channel == NULL)
        return IFD_NO_SUCH_DEVICE;
    if (Tag == TAG_IFD_ATR || Tag == SCARD_ATTR_ATR_STRING)
        return give(channel->atr, channel->atr_len, Length, Value);
    if (channel->is_polled)
        return Tag == TAG_IFD_POLLING_THREAD_KILLABLE ? give(&one, 1, Length, Value)
                                                      : IFD_ERROR_TAG;
    if (Tag == TAG_IFD_POLLING_THREAD_WITH_TIMEOUT)
        return give(&wait, sizeof(wait), Length, Value);
    if (Tag == TAG_IFD_STOP_POLLING_THREAD)
        return give(&stop, sizeof(stop), Length, Value);
    return IFD_ERROR_TAG;
}

RESPONSECODE IFDHSetCapabilities(DWORD Lun, DWORD Tag, DWORD Length, PUCHAR Value)
{
    (void)Lun;
    (void)Tag;
    (void)Length;
    (void)Value;
    return IFD_NOT_SUPPORTED;
}

/* There is no wire whose parameters could be set. */
RESPONSECODE IFDHSetProtocolParameters(DWORD Lun, DWORD Protocol, UCHAR Flags, UCHAR PTS1,
                                       UCHAR PTS2, UCHAR PTS3)
{
    (void)Lun;
    (void)Protocol;
    (void)Flags;
    (void)PTS1;
    (void)PTS2;
    (void)PTS3;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHICCPresence(DWORD Lun)
{
    struct channel *channel = channel_find(true, Lun);

    if (channel == NULL)
        return IFD_NO_SUCH_DEVICE;
    return reader_has_card(&channel->reader) ? IFD_ICC_PRESENT : IFD_ICC_NOT_PRESENT;
}

RESPONSECODE IFDHPowerICC(DWORD Lun, DWORD Action, PUCHAR Atr, PDWORD AtrLength)
{
    struct channel *channel = channel_find(true, Lun);
    enum reader_kind kind = Action == IFD_RESET ? READER_RESET : READER_POWER_UP;
    int r;

    *AtrLength = 0;
    if (channel == NULL)
        return IFD_NO_SUCH_DEVICE;
    channel->atr_len = 0;
    if (Action == IFD_POWER_DOWN) {
        r = reader_send(&channel->reader, READER_POWER_DOWN, NULL, 0);
        return r == READER_E_TOO_LONG ? IFD_COMMUNICATION_ERROR : IFD_SUCCESS;
    }
    r = reader_exchange(&channel->reader, kind, NULL, 0, channel->atr, sizeof(channel->atr),
                        &channel->atr_len);
    if (r != 0)
        return IFD_ERROR_POWER_ACTION;
    (void)memcpy(Atr, channel->atr, channel->atr_len);
    *AtrLength = channel->atr_len;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHTransmitToICC(DWORD Lun, SCARD_IO_HEADER SendPci, PUCHAR TxBuffer, DWORD TxLength,
                               PUCHAR RxBuffer, PDWORD RxLength, PSCARD_IO_HEADER RecvPci)
{
    struct channel *channel = channel_find(true, Lun);
    size_t size = *RxLength, len = 0;

    *RxLength = 0;
    if (channel == NULL)
        return IFD_NO_SUCH_DEVICE;
    if (reader_exchange(&channel->reader, READER_APDU, TxBuffer, TxLength, RxBuffer, size, &len) !=
        0)
        return IFD_COMMUNICATION_ERROR;
    *RxLength = len;
    if (RecvPci != NULL)
        RecvPci->Protocol = SendPci.Protocol;
    return IFD_SUCCESS;
}

/* PC/SC part 10: which features there are, and the numbers to use them by. */
static size_t write_features(PUCHAR buffer, DWORD size)
{
    PCSC_TLV_STRUCTURE feature = {
        .tag = FEATURE_VERIFY_PIN_DIRECT, .length = sizeof(uint32_t), .value = htonl(VERIFY_CODE)};

    if (size < sizeof(feature))
        return 0;
    (void)memcpy(buffer, &feature, sizeof(feature));
    return sizeof(feature);
}

/* The PIN is typed and goes to the card without ever coming here. */
static RESPONSECODE verify_with_keys(struct channel *channel, const UCHAR *request, DWORD size,
                                     PUCHAR answer, DWORD answer_size, size_t *ret_len)
{
    const size_t head = offsetof(PIN_VERIFY_STRUCTURE, abData);
    uint32_t len = 0;

    if (size < head)
        return IFD_COMMUNICATION_ERROR;
    (void)memcpy(&len, request + offsetof(PIN_VERIFY_STRUCTURE, ulDataLength), sizeof(len));
    if (len != size - head || reader_exchange(&channel->reader, READER_KEYS, request + head, len,
                                              answer, answer_size, ret_len) != 0)
        return IFD_COMMUNICATION_ERROR;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHControl(DWORD Lun, DWORD dwControlCode, PUCHAR TxBuffer, DWORD TxLength,
                         PUCHAR RxBuffer, DWORD RxLength, LPDWORD pdwBytesReturned)
{
    struct channel *channel = channel_find(true, Lun);
    RESPONSECODE code = IFD_SUCCESS;
    size_t len = 0;

    if (channel == NULL)
        return IFD_NO_SUCH_DEVICE;
    if (!channel->has_keys)
        code = IFD_ERROR_NOT_SUPPORTED;
    else if (dwControlCode == CM_IOCTL_GET_FEATURE_REQUEST)
        len = write_features(RxBuffer, RxLength);
    else if (dwControlCode == VERIFY_CODE)
        code = verify_with_keys(channel, TxBuffer, TxLength, RxBuffer, RxLength, &len);
    else
        code = IFD_ERROR_NOT_SUPPORTED;
    if (pdwBytesReturned != NULL)
        *pdwBytesReturned = len;
    return code;
}
