package sqltext

// machine is sqlite3_complete, a byte at a time. It is two machines: one that finds tokens, and one that
// finds the end of a statement among them, where only a trigger has semicolons of its own.
type machine struct {
	lex     lexState
	closing byte // of lexQuoted
	word    [len("temporary") + 1]byte
	n       int // length of the word, which may be longer than what is kept of it
	parse   parseState
}

type lexState uint8

const (
	lexPlain     lexState = iota
	lexWord               // in a word
	lexQuoted             // in a string or a quoted name
	lexDash               // behind a '-', which may begin a comment
	lexSlash              // behind a '/', likewise
	lexLine               // in a comment to the end of the line
	lexBlock              // in a comment
	lexBlockStar          // behind a '*' in a comment
)

type parseState uint8

const (
	parseStart   parseState = iota // nothing but blanks so far
	parseNormal                    // in a statement that ends with ';'
	parseExplain                   // behind EXPLAIN
	parseCreate                    // behind CREATE, perhaps TEMP
	parseTrigger                   // in a trigger
	parseSemi                      // behind a ';' in a trigger
	parseEnd                       // behind "; END" in a trigger: a ';' ends the statement
)

type token uint8

const (
	tokenOther token = iota
	tokenExplain
	tokenCreate
	tokenTemp
	tokenTrigger
	tokenEnd
)

// next takes one byte of the text and reports whether it is the ';' that ends a statement.
func (m *machine) next(c byte) bool {
	switch m.lex {
	case lexQuoted:
		if c == m.closing { // a doubled one ends the quotation and begins another
			m.lex = lexPlain
		}
		return false
	case lexLine:
		if c == '\n' {
			m.lex = lexPlain
		}
		return false
	case lexBlockStar:
		if c == '/' {
			m.lex = lexPlain
			return false
		}
		m.lex = lexBlock
		fallthrough
	case lexBlock:
		if c == '*' {
			m.lex = lexBlockStar
		}
		return false
	case lexDash:
		if c == '-' {
			m.lex = lexLine
			return false
		}
		m.token(tokenOther)
	case lexSlash:
		if c == '*' {
			m.lex = lexBlock
			return false
		}
		m.token(tokenOther)
	case lexWord:
		if isWord(c) {
			m.letter(c)
			return false
		}
		m.token(keyword(m.word[:min(m.n, len(m.word))]))
	}
	m.lex = lexPlain
	return m.plain(c)
}

func (m *machine) plain(c byte) bool {
	switch {
	case c == ';':
		return m.semicolon()
	case isSpace(c):
	case c == '-':
		m.lex = lexDash
	case c == '/':
		m.lex = lexSlash
	case c == '\'' || c == '"' || c == '`' || c == '[':
		if m.lex, m.closing = lexQuoted, c; c == '[' {
			m.closing = ']'
		}
		m.token(tokenOther)
	case isWord(c):
		m.lex, m.n = lexWord, 0
		m.letter(c)
	default:
		m.token(tokenOther)
	}
	return false
}

func (m *machine) letter(c byte) {
	if m.n < len(m.word) {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		m.word[m.n] = c
		m.n++
	}
}

func (m *machine) semicolon() bool {
	switch m.parse {
	case parseTrigger, parseSemi:
		m.parse = parseSemi
		return false
	}
	return true
}

// token is any token but a semicolon.
func (m *machine) token(t token) {
	switch m.parse {
	case parseStart:
		m.parse = parseNormal
		if t == tokenExplain {
			m.parse = parseExplain
		} else if t == tokenCreate {
			m.parse = parseCreate
		}
	case parseExplain:
		switch t {
		case tokenOther: // QUERY PLAN
		case tokenCreate:
			m.parse = parseCreate
		default:
			m.parse = parseNormal
		}
	case parseCreate:
		switch t {
		case tokenTemp:
		case tokenTrigger:
			m.parse = parseTrigger
		default:
			m.parse = parseNormal
		}
	case parseSemi:
		m.parse = parseTrigger
		if t == tokenEnd {
			m.parse = parseEnd
		}
	case parseEnd:
		m.parse = parseTrigger
	}
}

// open names what the text is inside of at its end, "" if it may end here.
func (m *machine) open() string {
	switch {
	case m.lex == lexQuoted:
		return "a string or a quoted name"
	case m.lex == lexBlock || m.lex == lexBlockStar:
		return "a comment"
	case m.lex == lexWord && m.parse == parseSemi && keyword(m.word[:m.n]) == tokenEnd:
		return ""
	case m.parse == parseTrigger || m.parse == parseSemi:
		return "a trigger, which ends with END"
	}
	return ""
}

func keyword(word []byte) token {
	switch string(word) {
	case "explain":
		return tokenExplain
	case "create":
		return tokenCreate
	case "temp", "temporary":
		return tokenTemp
	case "trigger":
		return tokenTrigger
	case "end":
		return tokenEnd
	}
	return tokenOther
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}
