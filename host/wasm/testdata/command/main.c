// A plain WASI command, the same as main.go and main.rs.
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
	FILE *in = stdin;
	if (argc == 3 && !strcmp(argv[1], "cat") && !(in = fopen(argv[2], "r"))) {
		fprintf(stderr, "looking\ncannot read %s\n", argv[2]);
		return 3;
	}
	for (int i = 0; i < argc; i++) printf("%s%s", i ? "|" : "", argv[i]);
	printf(": ");
	for (int c; (c = getc(in)) != EOF;) putchar(c);
	return 0;
}
