/* SPDX-License-Identifier: Apache-2.0 */
/* Reader of the golden directory; see golden_frames.h and golden/frames.py. */
#include "golden_frames.h"

#include <string.h>

static int load_failed(const char *dir, const char *name, int r)
{
    (void)fprintf(stderr, "%s/%s: %s\n", dir, name, strerror(-r));
    return r;
}

static int hex_value(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static int read_hex(FILE *file, struct golden_frame *frame)
{
    int high = -1;

    frame->data = malloc(WIRE_HEADER_LEN + WIRE_FRAME_MAX);
    if (!frame->data)
        return -ENOMEM;
    for (int c = fgetc(file); c != EOF; c = fgetc(file)) {
        int value = hex_value(c);
        if (c == '\n' && high < 0)
            continue;
        if (value < 0 || frame->len == WIRE_HEADER_LEN + WIRE_FRAME_MAX)
            return -EINVAL;
        if (high >= 0)
            frame->data[frame->len++] = (uint8_t)(high << 4 | value);
        high = high >= 0 ? -1 : value;
    }
    return high >= 0 ? -EINVAL : 0;
}

static int load_hex(const char *dir, struct golden_frame *frame)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s.hex", dir, frame->name);
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    return file ? read_hex(file, frame) : -errno;
}

static int begin_block(struct golden_frames *frames, const char *line)
{
    unsigned int type = 0;

    if (frames->count == GOLDEN_FRAMES_MAX)
        return -E2BIG;
    struct golden_frame *frame = &frames->frames[frames->count++];
    if (sscanf(line, "frame %63s %u", frame->name, &type) != 2 || type > 255)
        return -EINVAL;
    frame->type = (uint8_t)type;
    frame->fields = strdup("");
    return frame->fields ? 0 : -ENOMEM;
}

static int add_line(struct golden_frames *frames, const char *line)
{
    char *fields = NULL;

    if (frames->count == 0)
        return -EINVAL;
    struct golden_frame *frame = &frames->frames[frames->count - 1];
    if (asprintf(&fields, "%s%s\n", frame->fields, line) < 0)
        return -ENOMEM;
    free(frame->fields);
    frame->fields = fields;
    return 0;
}

static int read_manifest(FILE *file, struct golden_frames *frames)
{
    char line[2048];

    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#')
            continue;
        int r =
            strncmp(line, "frame ", 6) == 0 ? begin_block(frames, line) : add_line(frames, line);
        if (r)
            return r;
    }
    return 0;
}

int golden_frames_load(const char *dir, struct golden_frames *ret_frames)
{
    char path[512];

    *ret_frames = (struct golden_frames){0};
    (void)snprintf(path, sizeof(path), "%s/manifest", dir);
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    int r = file ? read_manifest(file, ret_frames) : -errno;
    if (r)
        return load_failed(dir, "manifest", r);
    for (size_t i = 0; i < ret_frames->count; i++) {
        r = load_hex(dir, &ret_frames->frames[i]);
        if (r)
            return load_failed(dir, ret_frames->frames[i].name, r);
    }
    return 0;
}

void golden_frames_deinit(struct golden_frames *frames)
{
    for (size_t i = 0; i < frames->count; i++) {
        free(frames->frames[i].fields);
        free(frames->frames[i].data);
    }
    *frames = (struct golden_frames){0};
}
