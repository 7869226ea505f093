# SPDX-License-Identifier: MIT
# Takes the examples out of the comments of a header: what stands there at least five blanks behind the star. Each
# becomes a program, STEM-N.c. Functions stay what they are; other lines become the body of one more function, in which
# a line `...` stands for what a reader thinks of himself.
# Prints the names of the files.

function finish()
{
	if (!lines)
		return
	file = stem "-" ++count ".c"
	print "#include \"snippets.h\"" >file
	for (i = 1; i <= lines; i++)
		if (outside[i])
			print text[i] >file
	print "intptr_t snippet(void);\nintptr_t snippet(void)\n{" >file
	for (i = 1; i <= lines; i++)
		if (!outside[i])
			print "\t" text[i] >file
	print "\treturn 0;\n}" >file
	close(file)
	print file
	lines = function_begun = 0
}

/\*\// || !/^[ \t]*\*/ { finish(); next }
/^[ \t]*\*$/ { next }
!/^[ \t]*\*     / { finish(); next }
{
	sub(/^[ \t]*\*     /, "")
	if ($0 == "...")
		next
	if (/^(static .*|int main\(.*)\)( \{.*\})?$/)
		function_begun = 1
	text[++lines] = $0
	outside[lines] = function_begun
	if (/^[^ ].*\}$/ || /^\}/)
		function_begun = 0
}
