/* Read edgefusion's fused frames from C or C++ (Linux, 64 bits, gcc or clang). Compile edgefusion_ring.c with your program.
 *
 * A frame is leased: its pixels stay as they are until edgefusion_ring_release. Use one edgefusion_ring in one thread only.
 * Errors are negative numbers of errno.h. The guarantees are those of docs/ring.md. Apache-2.0. */
#ifndef EDGEFUSION_RING_H
#define EDGEFUSION_RING_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum { EDGEFUSION_STALE = 1, EDGEFUSION_THERMAL_LOST = 2, EDGEFUSION_VISIBLE_LOST = 4, EDGEFUSION_MISREGISTERED = 8 };

typedef struct {       /* what is known of a frame; in the ring's memory, as ring/layout.py has it */
    uint64_t sequence; /* 2 * its number in the ring; odd while it is being written */
    int64_t frame_id, timestamp_ns, published_ns, visible_sequence, thermal_sequence, thermal_age_ns;
    uint32_t flags, clock, name_bytes; /* clock of timestamp_ns: 0 monotonic, 1 realtime, 2 receive */
    char name[128];                    /* UTF-8, name_bytes long, not terminated */
} edgefusion_record;

typedef struct {
    const uint8_t *rgb; /* [height][width][3], read-only */
    const edgefusion_record *info;
    uint32_t width, height, slot;
} edgefusion_frame;

typedef struct { /* one reader of one ring; its members are edgefusion_ring.c's business */
    const struct edgefusion_header *header;
    struct edgefusion_seat *seats, *seat;
    int frames_file, seats_file;
    uint64_t last;
} edgefusion_ring;

/* Begin to read. 0, or -ENOENT: no such ring, or its writer died; -EACCES: not permitted; -EPROTO: another version;
 * -EUSERS: too many readers. A ring of edgefusion run --output ring:front has the name front. */
int edgefusion_ring_open(edgefusion_ring *ring, const char *name);

/* Wait for the newest frame that was not given yet: 1, and it must be released; 0 after timeout_ms without one;
 * -EPIPE: the writer ended or died: close, and open again until it is no longer -ENOENT, with a pause before each. */
int edgefusion_ring_next(edgefusion_ring *ring, edgefusion_frame *frame, int timeout_ms);

/* The same without waiting: 1 or 0. */
int edgefusion_ring_take(edgefusion_ring *ring, edgefusion_frame *frame);

/* The frame is no longer read: the writer may use its memory again. */
void edgefusion_ring_release(edgefusion_ring *ring, const edgefusion_frame *frame);

/* Read no more; ends every lease. */
void edgefusion_ring_close(edgefusion_ring *ring);

#ifdef __cplusplus
}
#endif
#endif
