/* Prints a line for each fused frame:
 * cc -std=c11 -I edgefusion/ring examples/ring_reader.c edgefusion/ring/edgefusion_ring.c -o ring_reader; ./ring_reader front */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgefusion_ring.h"

int main(int count, char **words) {
    edgefusion_ring ring;
    edgefusion_frame frame;
    if (count < 2) return fprintf(stderr, "usage: ring_reader NAME [FRAMES]\n"), 2;
    int error = edgefusion_ring_open(&ring, words[1]), got = 0;
    if (error) return fprintf(stderr, "ring %s: %s\n", words[1], strerror(-error)), 1;
    for (long left = count > 2 ? atol(words[2]) : -1; left && (got = edgefusion_ring_next(&ring, &frame, 5000)) == 1; left--) {
        uint64_t sum = 0;
        for (size_t i = 0; i < 3 * (size_t)frame.width * frame.height; i++) sum += frame.rgb[i];
        printf("%lld %ux%u at %lld ns, flags %u, mean %.3f %.*s\n", (long long)frame.info->frame_id, frame.width,
               frame.height, (long long)frame.info->timestamp_ns, frame.info->flags,
               (double)sum / (3.0 * frame.width * frame.height), (int)frame.info->name_bytes, frame.info->name);
        edgefusion_ring_release(&ring, &frame);
    }
    edgefusion_ring_close(&ring);
    if (got < 0) fprintf(stderr, "the writer ended\n");
    return got < 0 ? 0 : got == 0 && count < 3;
}
