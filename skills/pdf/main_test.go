package main

import (
	"bytes"
	"compress/flate"
	"compress/lzw"
	"compress/zlib"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
)

// put writes a file into the workspace.
func put(t *testing.T, h *sdktest.Host, path string, b []byte) {
	t.Helper()
	path = filepath.Join(h.Workspace(), path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSamples reads files that real programs wrote (see testdata/README.md); their texts
// were compared with those of pdftotext when they were made.
func TestSamples(t *testing.T) {
	wants, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(wants) < 7 {
		t.Fatal(wants, err)
	}
	h := sdktest.New(t)
	for _, w := range wants {
		name := strings.TrimSuffix(filepath.Base(w), ".txt") + ".pdf"
		put(t, h, "in/"+name, sample(t, name))
		r := h.Call("pdf", input{Path: "in/" + name})
		want := strings.TrimSuffix(string(sample(t, filepath.Base(w))), "\n")
		if got := strings.Replace(r.Text(), "in/"+name, name, 1); r.IsError || got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// body is what the answer says after its head.
func body(s string) string {
	_, after, _ := strings.Cut(s, ", ")
	return after
}

// A file whose cross-reference is wrong, cut off or gone says the same.
func TestBrokenFilesAreRebuilt(t *testing.T) {
	for _, name := range []string{"groff.pdf", "pdf-lib.pdf", "pdfkit.pdf", "qpdf-objstm.pdf", "cairo.pdf"} {
		b := sample(t, name)
		want, err := extract("x", b, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		tail := bytes.LastIndex(b, []byte("startxref"))
		for kind, broken := range map[string][]byte{
			"no startxref":  b[:tail],
			"wrong offset":  append(bytes.Clone(b[:tail]), "startxref\n7\n%%EOF"...),
			"junk before":   append([]byte("HTTP/1.1 200 OK\r\n\r\n"), b...),
			"moved objects": bytes.Replace(b, []byte("%PDF-1"), []byte("%PDF-1.1 moved\n%PDF-1"), 1),
		} {
			got, err := extract("x", broken, 0, 0)
			if err != nil || body(got) != body(want) {
				t.Errorf("%s, %s: %v\n%s", name, kind, err, got)
			}
		}
	}
}

// made is a file of these objects, numbered from 1; 1 is the catalog.
func made(objects ...string) []byte {
	b := []byte("%PDF-1.4\n")
	var offsets []int
	for i, o := range objects {
		offsets = append(offsets, len(b))
		b = append(b, fmt.Sprintf("%d 0 obj\n%s\nendobj\n", i+1, o)...)
	}
	xref := len(b)
	b = append(b, fmt.Sprintf("xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)...)
	for _, at := range offsets {
		b = append(b, fmt.Sprintf("%010d 00000 n \n", at)...)
	}
	return append(b, fmt.Sprintf("trailer\n<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)...)
}

func streamed(dict, data string) string {
	return "<<" + dict + "/Length " + strconv.Itoa(len(data)) + ">>\nstream\n" + data + "\nendstream"
}

// page1 is a file of one page with a content and a font, and more objects from 6 on.
func page1(content, font string, more ...string) []byte {
	return made(append([]string{
		"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F 5 0 R>>/XObject<</X 6 0 R>>>>>>",
		content, font,
	}, more...)...)
}

const helvetica = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"

func said(t *testing.T, b []byte) string {
	t.Helper()
	s, err := extract("x", b, 0, 0)
	if err != nil {
		return "error: " + err.Error()
	}
	return strings.TrimPrefix(s, "x, 1 page\n\n[page 1]\n")
}

func TestContent(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"lines":        {"BT /F 12 Tf 14 TL 50 700 Td (one) Tj T* (two) Tj (three) ' 1 2 (four) \" 0 -50 TD (five) Tj ET", "one\ntwo\nthree\nfour\n\nfive"},
		"words":        {"BT /F 12 Tf [(He)20(llo)-300(world)-50(ly)] TJ ET", "Hello worldly"},
		"same line":    {"BT /F 12 Tf 50 700 Td (left) Tj 100 0 Td (right) Tj ET", "left right"},
		"escapes":      {`BT /F 12 Tf (a\(b\)\\ \101\5012 (in) \` + "\n" + `c\351) Tj ET`, `a(b)\ AA2 (in) cé`},
		"hex":          {"BT /F 12 Tf <48 65 6c6C 6f2> Tj ET", "Hello "},
		"scaled":       {"q 10 0 0 10 0 0 cm BT /F 1 Tf 5 70 Td (one) Tj 0 -1.2 Td (two) Tj ET Q", "one\ntwo"},
		"inline image": {"BT /F 12 Tf (a) Tj ET BI /W 1 /H 1 ID (\x00EI\xff( EI BT /F 12 Tf (b) Tj ET", "ab"},
		"comments":     {"BT % (no)\n/F 12 Tf (yes) Tj ET", "yes"},
		"no font":      {"BT (lost) Tj ET", "(No text: a picture or a scan, perhaps.)"},
		"nothing":      {"", "(No text: a picture or a scan, perhaps.)"},
		"odd numbers":  {"BT /F 12 Tf 1..2 --5 Td 1e99 Tc (x) Tj +.5 - . Td ET", "x"},
		"unbalanced":   {"Q Q BT /F 12 Tf ] >> ) (x) Tj ET q", "x"},
	} {
		if got := said(t, page1(streamed("", c.content), helvetica)); got != strings.TrimSpace(c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestFonts(t *testing.T) {
	const cm = "begincmap 1 begincodespacerange <0000><ffff> endcodespacerange 2 beginbfchar <0001><0041> <0002><D83DDE00> endbfchar " +
		"2 beginbfrange <0010><0013><0061> <0020><0021>[<0078><00790079>] endbfrange endcmap"
	type0 := "<</Subtype/Type0/Encoding/Identity-H/ToUnicode 6 0 R/DescendantFonts[<</W[1[500 600] 16 19 700]>>]>>"
	for name, c := range map[string]struct {
		show, font string
		more       []string
		want       string
	}{
		"win":         {"(\x80 \x93\xe9\x94 \x81)", helvetica, nil, "€ “é”"},
		"mac":         {"(\x8e \xde \xca)", "<</Subtype/Type1/Encoding/MacRomanEncoding>>", nil, "é fi"},
		"standard":    {"(' \xaa\xfb\xba \xae)", "<</Subtype/Type1>>", nil, "’ “ß” fi"},
		"differences": {"(abcdefgh)", "<</Subtype/Type1/Encoding<</Differences[97/Zcaron/f_f_i/uni20AC/u1F600 101/eacute.sc/nosuch/T/germandbls]>>>>", nil, "Žffi€😀éTß"},
		"type 0":      {"<00010002001000130020 0021>", type0, []string{streamed("", cm)}, "A😀adxyy"},
		"utf-16":      {"<0041D83DDE00>", "<</Subtype/Type0/Encoding/UniGB-UTF16-H/DescendantFonts[<<>>]>>", nil, "A😀"},
		"no unicode":  {"<00010002>", "<</Subtype/Type0/Encoding/Identity-H/DescendantFonts[<<>>]>>", nil, "\n(Most of this page is in fonts that do not say which characters they show.)"},
		"type 1's own": {
			"(\x01\x02)", "<</Subtype/Type1/FontDescriptor<</FontFile 6 0 R>>>>",
			[]string{streamed("", "%!PS-AdobeFont /Encoding 256 array\ndup 1 /A put\ndup 2 /eacute put\nreadonly def currentfile eexec dup 1 /B put")},
			"Aé",
		},
		"form": {"() Tj /X Do ()", helvetica, []string{streamed("/Subtype/Form/Resources<</Font<</G 5 0 R>>>>", "BT /G 9 Tf (in a form) Tj ET /X Do")}, "in a form"},
	} {
		got := said(t, page1(streamed("", "BT /F 12 Tf "+c.show+" Tj ET"), c.font, c.more...))
		if strings.TrimSpace(got) != strings.TrimSpace(c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func deflated(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	w.Close()
	return b.String()
}

func TestFilters(t *testing.T) {
	const content = "BT /F 12 Tf (filtered text text text) Tj ET"
	var msb bytes.Buffer
	w := lzw.NewWriter(&msb, lzw.MSB, 8)
	_, _ = w.Write([]byte(content))
	w.Close()
	hex := fmt.Sprintf("%X>", content)
	png := ""
	for i := 0; i < len(content)+9; i += 10 { // rows of ten bytes, each by another filter
		row := []byte(fmt.Sprintf("%-10s", content[min(i, len(content)):min(i+10, len(content))]))
		png += "\x01"
		for n := len(row) - 1; n > 0; n-- {
			row[n] -= row[n-1]
		}
		png += string(row)
	}
	for name, s := range map[string]string{
		"flate":            streamed("/Filter/FlateDecode", deflated(content)),
		"flate, cut short": streamed("/Filter/FlateDecode", deflated(content + strings.Repeat(" ", 99))[:40]),
		"hex":              streamed("/Filter[/ASCIIHexDecode]", hex),
		"lzw":              streamed("/Filter/LZWDecode/DecodeParms<</EarlyChange 0>>", msb.String()),
		"run length":       streamed("/Filter/RL", string(rune(len(content)-1))+content+"\x80"),
		"two":              streamed("/Filter[/AHx/Fl]", fmt.Sprintf("%x>", deflated(content))),
		"predictor":        streamed("/Filter/Fl/DecodeParms<</Predictor 11/Columns 10>>", deflated(png)),
		"wrong length":     strings.Replace(streamed("/Filter/AHx", hex), "/Length", "/Length 3/L", 1),
	} {
		if got := said(t, page1(s, helvetica)); got != "filtered text text text" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if got := string(unLZW([]byte{0x80, 0x0b, 0x60, 0x50, 0x22, 0x0c, 0x0c, 0x85, 0x01}, 100, true)); got != "-----A---B" {
		t.Errorf("LZW of the reference: %q", got)
	}
	if got := string(un85([]byte("87cURD]i,\"Ebo80~>"), 100)); got != "Hello World!" {
		t.Errorf("ASCII85: %q", got)
	}
}

func TestPagesAndParts(t *testing.T) {
	h := sdktest.New(t)
	kids, objects := "", []string{"<</Type/Catalog/Pages 2 0 R>>", ""}
	for i := range 30 {
		n := len(objects) + 1
		kids += fmt.Sprintf("%d 0 R ", n)
		text := strings.Repeat("(page "+strconv.Itoa(i+1)+") ' ", 400)
		objects = append(objects, fmt.Sprintf("<</Type/Page/Contents %d 0 R>>", n+1), streamed("", "BT /F 9 Tf 10 TL "+text+" ET"))
	}
	objects[1] = "<</Type/Pages/Resources<</Font<</F " + helvetica + ">>>>/Kids[" + kids + "]>>"
	put(t, h, "long.pdf", made(objects...))
	seen, from := 0, 1
	for range 30 {
		text := h.Call("pdf", input{Path: "/workspace/long.pdf", From: from}).Text()
		if len(text) > maxText+200 {
			t.Fatalf("%d bytes", len(text))
		}
		seen += strings.Count(text, "[page ")
		_, next, isCut := strings.Cut(text, "go on with from ")
		if !isCut {
			break
		}
		from, _ = strconv.Atoi(strings.TrimSuffix(next, "]"))
	}
	if seen != 30 {
		t.Errorf("%d pages came", seen)
	}
	if got := h.Call("pdf", input{Path: "long.pdf", From: 7, To: 7}).Text(); !strings.HasPrefix(got, "long.pdf, page 7 of 30\n\n[page 7]\npage 7\n") {
		t.Errorf("got %.100q", got)
	}
	if r := h.Call("pdf", input{Path: "long.pdf", From: 31}); !r.IsError || r.Text() != "long.pdf: it has 30 pages, none from 31 to 30" {
		t.Errorf("got %+v", r)
	}
}

func TestRefusals(t *testing.T) {
	h := sdktest.New(t)
	put(t, h, "note.txt", []byte("hello"))
	put(t, h, "secret.pdf", sample(t, "encrypted.pdf"))
	put(t, h, "half.pdf", sample(t, "groff.pdf")[:300])
	put(t, h, "huge.pdf", make([]byte, maxFile+1))
	for path, want := range map[string]string{
		"": "is no path", "../x.pdf": "is no path", "/etc/passwd": "is no path", "a/../../x": "is no path", "none.pdf": `there is no file "none.pdf"`,
		"note.txt": "note.txt: it is no PDF", "secret.pdf": "secret.pdf: the PDF is encrypted", "half.pdf": "half.pdf: the PDF is damaged",
		"huge.pdf": "huge.pdf has more than", ".": ". cannot be used: is a directory", "https://x/a.pdf": "http is not granted", "ftp://x/a": "only http",
	} {
		if r := h.Call("pdf", input{Path: path}); !r.IsError || !strings.Contains(r.Text(), want) {
			t.Errorf("%q: %+v", path, r)
		}
	}
	h.HTTP = func(r sdk.Request) (*sdk.Response, error) {
		return &sdk.Response{Status: 200, URL: r.URL, Body: sample(t, "pdfkit.pdf")}, nil
	}
	if got := h.Call("pdf", input{Path: "https://x.example/a.pdf", To: 1}).Text(); !strings.Contains(got, "Invoice 42\nhttps://x.example/a.pdf, page 1 of 2") {
		t.Errorf("got %q", got)
	}
}

// Files made to take long, or much, end with an error or some text.
func TestHostileFiles(t *testing.T) {
	bomb := deflated(strings.Repeat("\x00", 40<<20))
	twice := deflated(bomb)
	for name, b := range map[string][]byte{
		"bomb":                 page1(streamed("/Filter/FlateDecode", bomb), helvetica),
		"bomb of bombs":        page1(streamed("/Filter[/Fl/Fl]", twice), helvetica),
		"bombs":                page1("["+strings.Repeat("6 0 R ", 1000)+"]", helvetica, streamed("/Filter/Fl", bomb)),
		"run bomb":             page1(streamed("/Filter[/RL/RL/RL/RL]", strings.Repeat("\x81\x81", 100_000)), helvetica),
		"deep":                 page1(streamed("", strings.Repeat("[", 1<<20)), helvetica),
		"deep dicts":           page1(strings.Repeat("<</A", 1<<18), helvetica),
		"pages in a ring":      made("<</Pages 2 0 R>>", "<</Kids[2 0 R 3 0 R]>>", "<</Kids[2 0 R 3 0 R]>>"),
		"pages, wide":          made("<</Pages 2 0 R>>", "<</Kids["+strings.Repeat("<<>> ", 100_000)+"]>>"),
		"refs in a ring":       made("<</Pages 2 0 R>>", "3 0 R", "2 0 R"),
		"length is itself":     page1("<</Length 4 0 R>>\nstream\nBT /F 9 Tf (x) Tj ET\nendstream", helvetica),
		"form in itself":       page1(streamed("", strings.Repeat("/X Do ", 1000)), helvetica, streamed("/Subtype/Form/Resources<</XObject<</X 6 0 R>>>>", strings.Repeat("/X Do ", 1000))),
		"operators":            page1(streamed("/Filter/Fl", deflated("BT /F 9 Tf "+strings.Repeat("(a)Tj ", 4_000_000))), helvetica),
		"streams without ends": append([]byte("%PDF-1.4\n"), strings.Repeat("1 0 obj<</Type/Catalog>>stream\n", 100_000)...),
		"objects":              append([]byte("%PDF-1.4\n"), strings.Repeat("9 0 obj<<", 200_000)...),
		"xref counts":          append([]byte("%PDF-1.4\nxref\n0 999999999\n"), strings.Repeat("0000000000 00000 n \n", 100_000)+"startxref\n9\n%%EOF"...),
		"xref stream": append([]byte("%PDF-1.4\n1 0 obj"), streamed("/Type/XRef/W[1 8 8]/Index[0 1e12]/Filter/Fl", bomb)+
			"endobj startxref 9"...),
		"object stream in itself": append([]byte("%PDF-1.4\n"), "5 0 obj"+streamed("/Type/ObjStm/N 999999999/First 8", "5 0 6 0 <</Type/Catalog/Pages 6 0 R>>")+"endobj"...),
		"cmap ranges": page1(streamed("", "BT /F 9 Tf "+strings.Repeat("<0001>Tj ", 100_000)), "<</Subtype/Type0/ToUnicode 6 0 R>>",
			streamed("", strings.Repeat("<0010><ffff><0041> ", 50_000)+"endbfrange")),
		"widths":          page1(streamed("", "BT /F 9 Tf (x) Tj"), "<</Subtype/Type0/DescendantFonts[<</W["+strings.Repeat("0 1000000 5 ", 10_000)+"]>>]>>"),
		"strings":         append([]byte("%PDF-1.4\n"), strings.Repeat("9 0 obj(", 500_000)...),
		"comments":        append([]byte("%PDF-1.4\n"), strings.Repeat("9 0 obj%", 500_000)...),
		"hex":             append([]byte("%PDF-1.4\n"), strings.Repeat("9 0 obj<", 500_000)...),
		"spaces":          page1("["+strings.Repeat("6 0 R ", 1000)+"]", helvetica, streamed("", strings.Repeat(" ", 4<<20))),
		"forms of spaces": page1(streamed("", strings.Repeat("/X Do ", 100_000)), helvetica, streamed("/Subtype/Form", strings.Repeat(" ", 4<<20))),
		"pages of spaces": made("<</Pages 2 0 R>>", "<</Kids["+strings.Repeat("<</Contents 3 0 R>>", 20_000)+"]>>", streamed("", strings.Repeat(" ", 4<<20))),
		"fonts":           page1(streamed("", strings.Repeat("/G 9 Tf ", 500_000)), helvetica),
		"name bombs":      page1(streamed("", strings.Repeat("/"+strings.Repeat("a", 1000)+" gs ", 10_000)), helvetica),
	} {
		start := time.Now()
		s, err := extract("x", b, 0, 0)
		t.Logf("%s: %v, %d bytes, %v", name, time.Since(start), len(s), err)
		if d := time.Since(start); d > 20*time.Second || len(s) > maxText+500 {
			t.Errorf("%s: %v, %d bytes, %v", name, d, len(s), err)
		}
	}
}

func FuzzPDF(f *testing.F) {
	for _, name := range []string{"pdf-lib.pdf", "pdfkit.pdf", "qpdf-objstm.pdf", "ghostscript.pdf"} {
		f.Add(sample(f, name))
	}
	f.Add(page1(streamed("", "BT /F 12 Tf [(He)20(llo)] TJ ET"), helvetica))
	f.Add(page1(streamed("/Filter[/AHx/LZW/RL/A85]", "800B6050220C0C8501>"), "<</Subtype/Type3/FontMatrix[1 0]/Encoding<</Differences[1/a]>>>>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _ := extract("x", b, 0, 0)
		if !utf8.ValidString(s) || len(s) > maxText+1000 {
			t.Errorf("%d bytes of text", len(s))
		}
	})
}

// FuzzContent gives the reader of content, fonts and CMaps what the fuzzing of whole
// files hardly reaches.
func FuzzContent(f *testing.F) {
	f.Add("BT /F 12 Tf 14 TL 50 700 Td (one) Tj T* [(a)-200(b)] TJ /X Do BI ID EI q 1 0 0 1 0 0 cm Q ET", "1 beginbfrange <00><ff><0041> endbfrange")
	f.Fuzz(func(t *testing.T, content, cmap string) {
		font := "<</Subtype/Type0/Encoding 6 0 R/ToUnicode 6 0 R/DescendantFonts[<</W[0[1 2] 3 4 5]>>]>>"
		for _, fo := range []string{font, helvetica} {
			if s := said(t, page1(streamed("", content), fo, streamed("/Subtype/Form", cmap))); !utf8.ValidString(s) {
				t.Errorf("%q", s)
			}
		}
	})
}

func TestGlyphs(t *testing.T) {
	for name, want := range map[string]string{
		"A": "A", "space": " ", "fi": "ﬁ", "five": "5", "exclam": "!", "exclamdown": "¡", "hyphen": "-", "quotedbl": "\"", "quotedblleft": "“",
		"eacute": "é", "Zcaron": "Ž", "Gcommaaccent": "Ģ", "uni20AC": "€", "u1F600": "😀", "mu": "µ", "pi": "π", "e": "e", "f_f_i": "ffi",
		"a.sc": "a", "germandbls": "ß", "underscore": "_", "bar": "|", "": "", ".notdef": "", "xyz": "", "g12": "", "uniD800": "", "ring": "˚",
		"-": "-", "quote": "", "exc": "", "dotlessi": "ı", "backslash": "\\", "Euro": "€", "minus": "−", "nbspace": "\u00a0",
	} {
		if got := glyph(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// FuzzInflate compares with compress/flate, on what it wrote and on anything.
func FuzzInflate(f *testing.F) {
	f.Add([]byte("a"), 9)
	f.Add([]byte(strings.Repeat("abcabcabd", 300)), 1)
	f.Add([]byte{0x4b, 0x4c, 0x04, 0x00}, 0)
	f.Fuzz(func(t *testing.T, b []byte, level int) {
		const limit = 1 << 20
		want, _ := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), limit))
		if got := inflate(b, limit); !bytes.HasPrefix(got, want) && (len(b) < 2 || b[0]&0x0f != 8) {
			t.Errorf("%x gives %x, want %x", b, got, want)
		}
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, level%10)
		if level < 0 {
			w, _ = flate.NewWriter(&z, flate.HuffmanOnly)
		}
		_, _ = w.Write(b)
		w.Close()
		header := append([]byte{0x78, 0x9c}, z.Bytes()...)
		if got := inflate(header, limit); !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
	})
}
