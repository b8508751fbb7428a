/* Instructions that one run of the network in networks.h takes, as four bytes in out.bin: for cortex.c under -icount. */
#include "networks.h"

#include "board.h"

#define SYSTICK ((volatile uint32_t *)0xe000e010)
/* The clock is of 25 MHz and an instruction takes a nanosecond with -icount shift=0: 671 million before it wraps. */
enum { ENABLED = 5, FULL = 0xffffff, INSTRUCTIONS_PER_TICK = 40 };

#define COUNT(name, NAME) \
    static unsigned char in[NAME##_INPUT_BYTES], out[NAME##_OUTPUT_BYTES], arena[NAME##_ARENA_BYTES + 1]; \
    static int run(void) { return name##_run(in, out, arena); }

NETWORKS(COUNT)

int main(void)
{
    uint32_t instructions;

    if (board_open() || board_read(in, sizeof in))
        return 2;
    SYSTICK[1] = FULL;
    SYSTICK[2] = 0;
    SYSTICK[0] = ENABLED;
    if (run())
        return 1;
    instructions = (FULL - SYSTICK[2]) * INSTRUCTIONS_PER_TICK;
    return board_write(&instructions, sizeof instructions) || board_close();
}
