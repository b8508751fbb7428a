/*
 * A Cortex-M without an operating system: vector table, start, and files by semihosting (Arm's semihosting
 * specification, IHI 0100: BKPT 0xAB, operation in r0, parameters in r1).
 */
#include "board.h"

enum { SYS_OPEN = 1, SYS_CLOSE = 2, SYS_WRITE = 5, SYS_READ = 6, SYS_EXIT = 0x18 };
enum { READ_BINARY = 1, WRITE_BINARY = 5, EXIT_OK = 0x20026, EXIT_FAILED = 0x20023 };

extern uint32_t stack_top[];
int main(void);
void reset(void);

static int ask(int operation, uintptr_t parameters)
{
    register int r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = parameters;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void reset(void)
{
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: the floating-point unit */
    __asm__ volatile("dsb\n isb");
#endif
    ask(SYS_EXIT, main() == 0 ? EXIT_OK : EXIT_FAILED);
    for (;;)
        ;
}

static void fault(void)
{
    ask(SYS_EXIT, EXIT_FAILED);
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    (uintptr_t)stack_top, (uintptr_t)reset, (uintptr_t)fault, (uintptr_t)fault,
    (uintptr_t)fault,     (uintptr_t)fault, (uintptr_t)fault,
};

static int in, out;
static unsigned char pool[1536 * 1024];
static uint32_t used;

static int opened(const char *name, uint32_t length, uint32_t mode)
{
    const uintptr_t parameters[] = {(uintptr_t)name, mode, length};
    return ask(SYS_OPEN, (uintptr_t)parameters);
}

int board_open(void)
{
    in = opened("in.bin", 6, READ_BINARY);
    out = opened("out.bin", 7, WRITE_BINARY);
    return in < 0 || out < 0;
}

/* Both return the number of bytes that were left. */
int board_read(void *data, uint32_t bytes)
{
    const uintptr_t parameters[] = {(uintptr_t)in, (uintptr_t)data, bytes};
    return ask(SYS_READ, (uintptr_t)parameters);
}

int board_write(const void *data, uint32_t bytes)
{
    const uintptr_t parameters[] = {(uintptr_t)out, (uintptr_t)data, bytes};
    return ask(SYS_WRITE, (uintptr_t)parameters);
}

int board_close(void)
{
    const uintptr_t first[] = {(uintptr_t)in}, second[] = {(uintptr_t)out};
    return ask(SYS_CLOSE, (uintptr_t)first) | ask(SYS_CLOSE, (uintptr_t)second);
}

void *board_room(uint32_t bytes)
{
    void *room = pool + used;

    used += (bytes + 7u) & ~7u;
    return used <= sizeof pool ? room : 0;
}

/* Everything at once: networks run one after another. */
void board_free(void *room)
{
    (void)room;
    used = 0;
}
