/* A machine with files. */
#include "board.h"

#include <stdio.h>
#include <stdlib.h>

static FILE *in, *out;

int board_open(void)
{
    in = fopen("in.bin", "rb");
    out = fopen("out.bin", "wb");
    return !in || !out;
}

int board_read(void *data, uint32_t bytes)
{
    return fread(data, 1, bytes, in) != bytes;
}

int board_write(const void *data, uint32_t bytes)
{
    return fwrite(data, 1, bytes, out) != bytes;
}

int board_close(void)
{
    return fclose(in) | fclose(out);
}

void *board_room(uint32_t bytes)
{
    return malloc(bytes);
}

void board_free(void *room)
{
    free(room);
}
