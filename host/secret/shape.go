package secret

import "math/bits"

// Kinds of characters that keys are made of.
const (
	digit = 1 << iota
	upper
	lower
	under // _ and -
	dot
	slash
	plus  // + and =
	blank // of the lines of a PEM file
	alnum = digit | upper | lower
	word  = alnum | under
)

var kinds = func() (t [256]uint8) {
	for chars, kind := range map[string]uint8{
		"0123456789": digit, "ABCDEFGHIJKLMNOPQRSTUVWXYZ": upper, "abcdefghijklmnopqrstuvwxyz": lower,
		"_-": under, ".": dot, "/": slash, "+=": plus, " \r\n\t": blank,
	} {
		for _, c := range []byte(chars) {
			t[c] = kind
		}
	}
	return t
}()

// aloneBegin counts only where no letter or digit stands before: it is in every tenth picture of
// 5 MB, written as base64.
const aloneBegin = "AIza"

// shapes are the forms of well-known keys: a text, then at least min characters of some kinds.
var shapes = []struct {
	name, begin string // begin has at most 8 bytes: the last ones of the text
	kinds       uint8
	min         int
}{
	{"AWS access key", "AKIA", upper | digit, 16},
	{"AWS temporary access key", "ASIA", upper | digit, 16},
	{"Anthropic key", "sk-ant-", word, 20},
	{"OpenAI project key", "sk-proj-", word, 20},
	{"OpenAI service key", "svcacct-", word, 20},
	{"OpenRouter key", "sk-or-v1", word, 20},
	{"OpenAI key", "sk-", alnum, 32},
	{"OpenAI session", "sess-", alnum, 32},
	{"OpenAI session", "sess_", alnum, 32},
	{"GitHub token", "ghp_", alnum, 30},
	{"GitHub token", "gho_", alnum, 30},
	{"GitHub token", "ghu_", alnum, 30},
	{"GitHub token", "ghs_", alnum, 30},
	{"GitHub token", "ghr_", alnum, 30},
	{"GitHub token", "hub_pat_", word, 22},
	{"GitLab token", "glpat-", word, 20},
	{"Slack token", "xoxb-", alnum | under, 20},
	{"Slack token", "xoxp-", alnum | under, 20},
	{"Slack token", "xoxa-", alnum | under, 20},
	{"Slack webhook", "rvices/T", upper | digit | slash, 18},
	{"Stripe key", "sk_live_", alnum, 16},
	{"Stripe key", "rk_live_", alnum, 16},
	{"SendGrid key", "SG.", word | dot, 40},
	{"Twilio key", "SK", lower | digit, 32},
	{"Google key", aloneBegin, word, 35},
	{"npm token", "npm_", alnum, 30},
	{"Hugging Face token", "hf_", alnum, 30},
	{"Telegram bot token", ":AA", word, 33},
	{"private key", "ATE KEY-", alnum | plus | slash | under | blank, 40},
	{"JSON web token", ".eyJ", word | dot, 30}, // the part before is no secret
}

// beforeLast and lastOf have a bit for every shape, at the last two bytes of its beginning.
var beforeLast, lastOf = func() (before, last [256]uint32) {
	for i, s := range shapes {
		n := len(s.begin)
		before[s.begin[n-2]] |= 1 << i
		last[s.begin[n-1]] |= 1 << i
	}
	return before, last
}()

// shapeState is what a view knows of the shapes that it may be in the middle of.
type shapeState struct {
	last uint64 // bytes
	from [8]int // where they begin
	n    int    // bytes so far
	live uint32 // a bit for every shape that has begun
	run  [32]struct {
		n int
		span
	}
}

// shape looks for shapes in the last byte of a view, which ends before to. Those of begun may begin here.
func (s *scan) shape(st *shapeState, c byte, begun uint32, to int) {
	for live := st.live; live != 0; live &= live - 1 {
		i := bits.TrailingZeros32(live)
		if kinds[c]&shapes[i].kinds == 0 {
			s.endShape(st, i)
			continue
		}
		st.run[i].n++
		st.run[i].to = to
	}
	for begun &^= st.live; begun != 0; begun &= begun - 1 {
		i := bits.TrailingZeros32(begun)
		begin := shapes[i].begin
		if st.ends(begin) && !(begin == aloneBegin && isAlnum(byte(st.last>>32))) {
			st.live |= 1 << i
			st.run[i].n, st.run[i].span = 0, span{st.from[(st.n-len(begin))&7], to}
		}
	}
}

func (st *shapeState) ends(text string) bool {
	if st.n < len(text) {
		return false
	}
	last := st.last
	for i := len(text) - 1; i >= 0; i-- {
		if byte(last) != text[i] {
			return false
		}
		last >>= 8
	}
	return true
}

func (s *scan) endShape(st *shapeState, i int) {
	st.live &^= 1 << i
	if st.run[i].n >= shapes[i].min {
		s.hit(found{shapes[i].name, true, st.run[i].span})
	}
}

func (s *scan) endShapes(st *shapeState) {
	for live := st.live; live != 0; live &= live - 1 {
		s.endShape(st, bits.TrailingZeros32(live))
	}
}
