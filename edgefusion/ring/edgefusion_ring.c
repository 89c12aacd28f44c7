/* What edgefusion_ring.h declares: a reader's side of ring/layout.py, ring/seats.py and ring/owners.py. Apache-2.0. */
#define _GNU_SOURCE
#include "edgefusion_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef struct edgefusion_header { /* at the beginning of the file; the words from newest on change */
    char magic[8];
    uint32_t schema, slots, width, height, format, reserved;
    uint64_t pixels, slot_bytes, records, record_bytes, status, status_bytes, total, instance, owner, pid_namespace;
    uint64_t unused[2], newest, wake, state, published, starved, status_count;
} edgefusion_header;

typedef struct edgefusion_seat { uint64_t owner, leases, received, missed, pid_namespace, unused[3]; } edgefusion_seat;

#define SEATS 32
#define LOAD(word) __atomic_load_n(&(word), __ATOMIC_ACQUIRE)
#define STORE(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELEASE)

static int lock_byte(int file, int command, short type, long byte) { /* F_OFD_SETLK 37, F_OFD_GETLK 36 */
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = type, lock.l_whence = SEEK_SET, lock.l_start = byte, lock.l_len = 1;
    return fcntl(file, command, &lock) < 0 ? -errno : lock.l_type != F_UNLCK;
}

static void *map_file(const char *path, int flags, size_t least, int *file) {
    struct stat facts;
    void *map = MAP_FAILED;
    if ((*file = open(path, flags | O_CLOEXEC)) < 0) return NULL;
    if (fstat(*file, &facts) == 0 && (size_t)facts.st_size >= least)
        map = mmap(NULL, (size_t)facts.st_size, flags == O_RDWR ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, *file, 0);
    if (map != MAP_FAILED) return map;
    close(*file);
    errno = EPROTO;
    return NULL;
}

static int writer_is_gone(const edgefusion_ring *ring) { /* as ring/memory.py tells it: who lives holds byte 0 locked */
    return LOAD(ring->header->state) == 2 || !lock_byte(ring->frames_file, 36, F_RDLCK, 0);
}

static uint64_t own_owner(void) { /* process number and start time, as ring/owners.py has them */
    char text[1024];
    unsigned long long start = 0;
    FILE *stat_file = fopen("/proc/self/stat", "r");
    size_t read = stat_file ? fread(text, 1, sizeof text - 1, stat_file) : 0;
    if (stat_file) fclose(stat_file);
    text[read] = 0;
    const char *at = strrchr(text, ')');
    for (int field = 0; at && field < 20; field++) at = strchr(at + 1, ' ');
    if (at) start = strtoull(at, NULL, 10);
    return (uint64_t)start << 22 | (uint64_t)getpid();
}

void edgefusion_ring_close(edgefusion_ring *ring) {
    if (ring->seat) {
        STORE(ring->seat->owner, 0);
        munmap(ring->seats, 64 + SEATS * sizeof *ring->seat);
        close(ring->seats_file); /* and unlocks the seat */
    }
    if (ring->header) munmap((void *)(uintptr_t)ring->header, ring->header->total), close(ring->frames_file);
    memset(ring, 0, sizeof *ring);
}

int edgefusion_ring_open(edgefusion_ring *ring, const char *name) {
    char path[256];
    struct stat space;
    const char *folder = getenv("EDGEFUSION_SHM");
    memset(ring, 0, sizeof *ring);
    int length = snprintf(path, sizeof path - 9, "%s/edgefusion.%s", folder && *folder ? folder : "/dev/shm", name);
    if (length < 0 || (size_t)length >= sizeof path - 9) return -ENAMETOOLONG;
    ring->header = (const edgefusion_header *)map_file(path, O_RDONLY, sizeof *ring->header, &ring->frames_file);
    if (!ring->header) return -errno;
    int known = !memcmp(ring->header->magic, "EFUSRING", 8) && ring->header->schema == 1;
    int gone = known && writer_is_gone(ring); /* it died: its last frame is no news */
    strcat(path, ".readers");
    if (known && !gone) ring->seats = (edgefusion_seat *)map_file(path, O_RDWR, 64 + SEATS * 64, &ring->seats_file);
    int failed = !known ? -EPROTO : gone ? -ENOENT : ring->seats ? -EUSERS : -errno;
    if (ring->seats && ((const uint64_t *)ring->seats)[2] != ring->header->instance) failed = -ENOENT; /* being replaced */
    for (int seat = 1; failed == -EUSERS && seat <= SEATS; seat++) {
        if (lock_byte(ring->seats_file, 37, F_WRLCK, seat * 64L) < 0) continue;
        ring->seat = ring->seats + seat;
        STORE(ring->seat->leases, 0);
        ring->seat->received = ring->seat->missed = 0;
        ring->seat->pid_namespace = stat("/proc/self/ns/pid", &space) ? 0 : space.st_ino;
        STORE(ring->seat->owner, own_owner()); /* last: until now no lease here counts */
        return 0;
    }
    if (ring->seats) munmap(ring->seats, 64 + SEATS * 64), close(ring->seats_file);
    edgefusion_ring_close(ring);
    return failed;
}

void edgefusion_ring_release(edgefusion_ring *ring, const edgefusion_frame *frame) {
    __atomic_fetch_and(&ring->seat->leases, ~(UINT64_C(1) << frame->slot), __ATOMIC_SEQ_CST);
}

int edgefusion_ring_take(edgefusion_ring *ring, edgefusion_frame *frame) {
    const edgefusion_header *head = ring->header;
    const uint8_t *base = (const uint8_t *)head;
    for (;;) {
        uint64_t newest = LOAD(head->newest), number = newest / 64, slot = newest % 64;
        if (number <= ring->last) return 0;
        const edgefusion_record *info = (const edgefusion_record *)(base + head->records + slot * head->record_bytes);
        __atomic_fetch_or(&ring->seat->leases, UINT64_C(1) << slot, __ATOMIC_SEQ_CST);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the writer marks the slot and then looks for leases; we, the reverse */
        frame->rgb = base + head->pixels + slot * head->slot_bytes, frame->info = info, frame->slot = (uint32_t)slot;
        frame->width = head->width, frame->height = head->height;
        if (LOAD(info->sequence) == 2 * number) {
            ring->seat->missed += ring->last ? number - ring->last - 1 : 0, ring->seat->received++;
            ring->last = number;
            return 1;
        }
        edgefusion_ring_release(ring, frame); /* overtaken: there is a newer one */
    }
}

int edgefusion_ring_next(edgefusion_ring *ring, edgefusion_frame *frame, int timeout_ms) {
    for (;; timeout_ms -= 100) {
        uint32_t awake = (uint32_t)LOAD(ring->header->wake);
        int over = writer_is_gone(ring);
        if (edgefusion_ring_take(ring, frame)) return 1;
        if (over) return -EPIPE;
        if (timeout_ms <= 0) return 0;
        long wait_ms = timeout_ms < 100 ? timeout_ms : 100;
        struct timespec until = {0, wait_ms * 1000000L};
        syscall(SYS_futex, &ring->header->wake, 0 /* FUTEX_WAIT */, awake, &until, NULL, 0);
    }
}
