/* Start-up of an emulated Cortex-M board: vector table, memory, floating point unit, main, exit.
 *
 * Input and output go through semihosting: the program reads the standard input of the emulator and writes to its output.
 */
#include <stdint.h>
#include <stdlib.h>

extern uint32_t stack_top, data_start, data_end, data_source, bss_start, bss_end;
extern void initialise_monitor_handles(void); /* newlib: opens standard input and output */
extern void __libc_init_array(void);          /* newlib: runs the constructors */
extern int main(void);

void _init(void);
void _fini(void);
void reset_handler(void);

#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xE000ED88U)
#define FULL_ACCESS_TO_FPU (0xFU << 20)

/* newlib's constructors and destructors call these; start-up files that this board does not use define them. */
void _init(void) {}
void _fini(void) {}

void reset_handler(void) {
  COPROCESSOR_ACCESS |= FULL_ACCESS_TO_FPU;
  __asm__ volatile("dsb\n\tisb" ::: "memory");
  for (uint32_t *to = &data_start, *from = &data_source; to < &data_end; ++to, ++from) *to = *from;
  for (uint32_t *to = &bss_start; to < &bss_end; ++to) *to = 0;
  initialise_monitor_handles();
  __libc_init_array();
  exit(main());
}

/* Ends the program with an error. A fault must not look like an answer. */
static void fault_handler(void) { _Exit(3); }

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const struct {
  uint32_t *stack;
  handler exceptions[15];
} vectors = {
    &stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler},
};
