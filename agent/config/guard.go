package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds on a file, checked before it is parsed: HCL's and JSON's parsers and evaluators recurse with
// the nesting of their input, and Go's stack overflow cannot be recovered from.
const (
	fileBytesMax = 256 << 10 // people write configurations; the largest sensible one has some 50 KiB
	depthMax     = 32        // the deepest key is at 3
	// operatorsMax bounds what nests without a bracket, such as -, ?: and a[0][0]. Arithmetic in a
	// configuration (512 * 1024) needs a handful.
	operatorsMax = 256
)

// guard looks at the text alone and refuses what would be dangerous to parse.
func guard(name string, src []byte, json bool) *Problem {
	if len(src) > fileBytesMax {
		return tooLarge(name)
	}
	if json {
		return guardJSON(name, src)
	}
	return guardHCL(name, src)
}

func tooLarge(name string) *Problem {
	return &Problem{
		Source:  Source{Kind: FromFile, Name: name},
		Message: fmt.Sprintf("the file is larger than %d KiB", fileBytesMax>>10),
		Hint:    "split it into several files of a -config-dir, or check that it is the right file",
	}
}

func tooDeep(name string, line, column int) *Problem {
	return &Problem{
		Source:  Source{Kind: FromFile, Name: name, Line: line, Column: column},
		Message: fmt.Sprintf("nested deeper than %d levels", depthMax),
		Hint:    "no key is nested deeper than 3",
	}
}

func guardHCL(name string, src []byte) *Problem {
	// The scanner does not recurse. Its diagnostics come again from the parser.
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	depth, operators := 0, 0
	for i, t := range tokens {
		pos := t.Range.Start
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOParen, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc,
			hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOBrack:
			if depth++; depth > depthMax {
				return tooDeep(name, pos.Line, pos.Column)
			}
			if t.Type == hclsyntax.TokenOBrack && i > 0 && tokens[i-1].Type != hclsyntax.TokenEqual && tokens[i-1].Type != hclsyntax.TokenComma {
				operators++ // perhaps an index, which nests to the left
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
			hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
			depth = max(depth-1, 0)
		case hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenPercent,
			hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
			hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr,
			hclsyntax.TokenBang, hclsyntax.TokenDot, hclsyntax.TokenQuestion, hclsyntax.TokenEllipsis, hclsyntax.TokenDoubleColon:
			operators++
		}
		if operators > operatorsMax {
			return &Problem{
				Source:  Source{Kind: FromFile, Name: name, Line: pos.Line, Column: pos.Column},
				Message: fmt.Sprintf("more than %d operators in one file", operatorsMax),
				Hint:    "a configuration holds values; put text into double quotes",
			}
		}
	}
	return nil
}

func guardJSON(name string, src []byte) *Problem {
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
				return tooDeep(name, line, i-lineStart+1)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
