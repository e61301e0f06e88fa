package settings

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds on a file, checked before it is parsed: HCL's and JSON's parsers and evaluators recurse with
// the nesting of their input, and Go's stack overflow cannot be recovered from.
const (
	fileBytesMax = 256 << 10 // people write configurations; the largest sensible one has some 50 KiB
	depthMax     = 32        // keys of programs are at 3 or so
	operatorsMax = 256       // chains of + - * / nest without a bracket; 512 * 1024 needs one
	numberMax    = 64        // characters of a number
)

// guard looks at the text alone and refuses what would be dangerous to parse or evaluate.
func guard(name string, src []byte, json bool, keyDepth int) []Problem {
	switch {
	case len(src) > fileBytesMax:
		return []Problem{tooLarge(name)}
	case json:
		return guardJSON(name, src, keyDepth)
	}
	return guardHCL(name, src, keyDepth)
}

func tooLarge(name string) Problem {
	return Problem{
		Source:  Source{Kind: FromFile, Name: name},
		Message: fmt.Sprintf("the file is larger than %d KiB", fileBytesMax>>10),
		Hint:    "split it into several files of a -config-dir, or check that it is the right file",
	}
}

func tooDeep(name string, line, column, keyDepth int) Problem {
	return Problem{
		Source:  Source{Kind: FromFile, Name: name, Line: line, Column: column},
		Message: fmt.Sprintf("nested deeper than %d levels", depthMax),
		Hint:    fmt.Sprintf("no key is nested deeper than %d", keyDepth),
	}
}

// guardHCL lets values through, and sums of numbers. HCL's expressions can be made to take for ever in
// a few bytes: loops within loops, or "${1e99999999}", which is written out in full.
func guardHCL(name string, src []byte, keyDepth int) []Problem {
	// The scanner does not recurse. Its diagnostics come again from the parser.
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	depth, operators := 0, 0
	before := hclsyntax.TokenNewline // the token before this one, but for line breaks and comments
	var problems []Problem
	for _, t := range tokens {
		pos := t.Range.Start
		why := ""
		switch t.Type {
		case hclsyntax.TokenNewline, hclsyntax.TokenComment:
			continue
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc,
			hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			if depth++; depth > depthMax {
				return append(problems, tooDeep(name, pos.Line, pos.Column, keyDepth))
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
			hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
			depth = max(depth-1, 0)
		case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash:
			operators++
		}
		if operators > operatorsMax {
			why = fmt.Sprintf("more than %d operators in one file", operatorsMax)
		} else {
			why = refusedToken(before, t)
		}
		if why != "" {
			problems = append(problems, Problem{
				Source:  Source{Kind: FromFile, Name: name, Line: pos.Line, Column: pos.Column},
				Message: why,
				Hint:    "a configuration holds values: put text into double quotes, and write $${ or %%{ for ${ or %{ in it",
			})
			if operators > operatorsMax || len(problems) >= problemsShown {
				break
			}
		}
		before = t.Type
	}
	return problems
}

// refusedToken says why a token may not follow another, or "".
func refusedToken(before hclsyntax.TokenType, t hclsyntax.Token) string {
	switch t.Type {
	case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		return "templates are not allowed"
	case hclsyntax.TokenOParen:
		return "function calls and parentheses are not allowed"
	case hclsyntax.TokenPercent, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
		hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenBang,
		hclsyntax.TokenQuestion, hclsyntax.TokenDot, hclsyntax.TokenEllipsis, hclsyntax.TokenFatArrow, hclsyntax.TokenDoubleColon:
		return fmt.Sprintf("expressions with %s are not allowed", t.Bytes)
	case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash:
		if before == hclsyntax.TokenCQuote || before == hclsyntax.TokenCHeredoc {
			return "arithmetic with text is not allowed"
		}
	case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
		switch before {
		case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash:
			return "arithmetic with text is not allowed"
		}
	case hclsyntax.TokenOBrack:
		switch before {
		case hclsyntax.TokenEqual, hclsyntax.TokenColon, hclsyntax.TokenComma, hclsyntax.TokenOBrack:
		default:
			return "a list is not allowed here"
		}
	case hclsyntax.TokenIdent:
		if (before == hclsyntax.TokenOBrack || before == hclsyntax.TokenOBrace) && string(t.Bytes) == "for" {
			return "loops are not allowed"
		}
	case hclsyntax.TokenNumberLit:
		// Four digits of exponent are a number of ten thousand digits when it is written out.
		if i := bytes.IndexAny(t.Bytes, "eE"); len(t.Bytes) > numberMax || i >= 0 && len(t.Bytes)-i > len("e+999") {
			return "number out of range"
		}
	}
	return ""
}

func guardJSON(name string, src []byte, keyDepth int) []Problem {
	depth, line, lineStart := 0, 1, 0
	inString := false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\n':
			line, lineStart = line+1, i+1
			inString = false // invalid anyway; do not let one quote hide the rest of the file
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > depthMax {
				return []Problem{tooDeep(name, line, i-lineStart+1, keyDepth)}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
