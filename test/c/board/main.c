/* Runs every network of networks.h on the samples of in.bin and leaves the outputs in out.bin. */
#define SQ_LONG_NAMES
#include "networks.h"

#include "board.h"

typedef int (*network)(const void *in, void *out, void *arena);

/* Buffers of exactly the stated sizes, one byte off any alignment. */
static int serve(network run, uint32_t in_bytes, uint32_t out_bytes, uint32_t arena_bytes, uint32_t samples)
{
    unsigned char *in = (unsigned char *)board_room(in_bytes + 1) + 1;
    unsigned char *out = (unsigned char *)board_room(out_bytes + 1) + 1;
    unsigned char *arena = (unsigned char *)board_room(arena_bytes + 1) + 1;
    uint32_t i;

    if (run(0, out, arena) != -1 || run(in, 0, arena) != -1)
        return 1;
    for (i = 0; i < arena_bytes; i++)
        arena[i] = 0xa5;
    for (i = 0; i < samples; i++) {
        if (board_read(in, in_bytes) || run(in, out, arena) || board_write(out, out_bytes))
            return 1;
    }
    board_free(in - 1);
    board_free(out - 1);
    board_free(arena - 1);
    return 0;
}

#define SERVE(name, NAME) \
    if (serve(name##_run, NAME##_INPUT_BYTES, NAME##_OUTPUT_BYTES, NAME##_ARENA_BYTES, SAMPLES)) \
        return 1;

int main(void)
{
    if (board_open())
        return 2;
    NETWORKS(SERVE)
    return board_close();
}
