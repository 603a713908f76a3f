// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU's: how many locked instructions an operation executes. Each takes a cache line for
 * itself, which is what a count of instructions does not show.
 *
 * The benchmark marks the begin (1) and the end (2) of each sample and the end of an operation (3) by
 * a long no-op, `nopl 0x5ebe00NN(%rax)`. For each operation a line with the median goes to out=FILE.
 * With profile=1, the blocks of code that ran in the N-th operation go to FILE.N, each with its address,
 * its number of instructions and how often it ran.
 *
 * The interface is QEMU's include/qemu/qemu-plugin.h, version 1; what is used of it is declared here.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
typedef u64 plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*cb)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*cb)(u32, void *), int flags,
					    void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *ptr, u64 imm);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *ptr, u64 imm);
u64 qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
u64 qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, u64 at);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
u64 qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

typedef struct file FILE;
FILE *fopen(const char *name, const char *mode);
int fprintf(FILE *file, const char *format, ...);
int fflush(FILE *file);
int fclose(FILE *file);
int snprintf(char *to, u64 size, const char *format, ...);
int strncmp(const char *a, const char *b, u64 len);
u64 strtoul(const char *text, char **end, int base);
void qsort(void *base, u64 n, u64 size, int (*compare)(const void *, const void *));
void *calloc(u64 n, u64 size);

enum { NO_REGISTERS = 0, ADD_U64 = 0, MAX_SAMPLES = 4096, CHUNK = 4096 };

struct block {
	u64 address, insns, runs, before, counted;
};
/* Blocks do not move: the code that is generated for them adds to `runs`. */
struct chunk {
	struct chunk *next;
	u64 used;
	struct block blocks[CHUNK];
};

static FILE *out;
static char name[4096];
static u64 locked, at_begin, operations, profiled, n_samples;
static u64 samples[MAX_SAMPLES];
static struct chunk *chunks;

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static void begin(u32 cpu, void *data)
{
	at_begin = locked;
	if (profiled)
		for (struct chunk *c = chunks; c; c = c->next)
			for (u64 i = 0; i < c->used; i++)
				c->blocks[i].before = c->blocks[i].runs;
}

static void end(u32 cpu, void *data)
{
	if (n_samples < MAX_SAMPLES)
		samples[n_samples++] = locked - at_begin;
	if (profiled)
		for (struct chunk *c = chunks; c; c = c->next)
			for (u64 i = 0; i < c->used; i++)
				c->blocks[i].counted += c->blocks[i].runs - c->blocks[i].before;
}

static void write_profile(void)
{
	char path[4200];
	FILE *to;

	snprintf(path, sizeof(path), "%s.%lu", name, operations + 1);
	to = fopen(path, "w");
	if (!to)
		return;
	fprintf(to, "# %lu samples\n", n_samples);
	for (struct chunk *c = chunks; c; c = c->next)
		for (u64 i = 0; i < c->used; i++) {
			struct block *b = &c->blocks[i];

			if (b->counted)
				fprintf(to, "%lx %lu %lu\n", b->address, b->insns, b->counted);
			b->counted = 0;
		}
	fclose(to);
}

static void end_of_operation(u32 cpu, void *data)
{
	if (profiled)
		write_profile();
	operations++;
	qsort(samples, n_samples, sizeof(samples[0]), compare);
	fprintf(out, "%lu\n", n_samples ? samples[n_samples / 2] : 0);
	fflush(out);
	n_samples = 0;
}

static struct block *new_block(void)
{
	if (!chunks || chunks->used == CHUNK) {
		struct chunk *c = calloc(1, sizeof(*c));

		if (!c)
			return 0;
		c->next = chunks;
		chunks = c;
	}
	return &chunks->blocks[chunks->used++];
}

/* A lock prefix, or an exchange with memory, which needs none. */
static int is_locked(const u8 *code, u64 size)
{
	u64 i = 0;

	for (; i < size; i++) {
		u8 b = code[i];

		if (b == 0xf0)
			return 1;
		if (b == 0x66 || b == 0x67 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0x26 || b == 0x64 || b == 0x65 ||
		    b == 0xf2 || b == 0xf3 || (b & 0xf0) == 0x40)
			continue;
		break;
	}
	return i + 1 < size && (code[i] == 0x86 || code[i] == 0x87) && (code[i + 1] & 0xc0) != 0xc0;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	u64 n = qemu_plugin_tb_n_insns(tb);

	for (u64 i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const u8 *code = qemu_plugin_insn_data(insn);
		u64 size = qemu_plugin_insn_size(insn);

		if (size == 7 && code[0] == 0x0f && code[1] == 0x1f && code[2] == 0x80 && code[4] == 0 && code[5] == 0xbe &&
		    code[6] == 0x5e) {
			if (code[3] == 1)
				qemu_plugin_register_vcpu_insn_exec_cb(insn, begin, NO_REGISTERS, 0);
			else if (code[3] == 2)
				qemu_plugin_register_vcpu_insn_exec_cb(insn, end, NO_REGISTERS, 0);
			else if (code[3] == 3)
				qemu_plugin_register_vcpu_insn_exec_cb(insn, end_of_operation, NO_REGISTERS, 0);
		} else if (is_locked(code, size)) {
			qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &locked, 1);
		}
	}
	if (profiled) {
		struct block *b = new_block();

		if (b) {
			b->address = qemu_plugin_tb_vaddr(tb);
			b->insns = n;
			qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &b->runs, 1);
		}
	}
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc,
							       char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			snprintf(name, sizeof(name), "%s", argv[i] + 4);
		else if (!strncmp(argv[i], "profile=", 8))
			profiled = strtoul(argv[i] + 8, 0, 10);
	}
	out = fopen(name, "w");
	if (!out)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
