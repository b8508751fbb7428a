/* What main.c needs of the machine that it runs on; all but board_room return 0, or something else on failure. */
#include <stdint.h>

int board_open(void);
int board_read(void *data, uint32_t bytes);
int board_write(const void *data, uint32_t bytes);
int board_close(void);
void *board_room(uint32_t bytes);
void board_free(void *room);
