// Package sqljson is the JSON of SQL over HTTP: requests in, values and results out.
//
// Contract: values are exact. An INTEGER is a JSON number without "." and "e", all 64 bits of it; a REAL is a
// number that always has one of them, an infinity {"real": "Infinity"} or {"real": "-Infinity"}; TEXT is a string,
// or {"text": base64} where it is no UTF-8; a BLOB is {"blob": base64}; NULL is null. A request may also say true and
// false (1 and 0), and an integer beyond 64 bits, which becomes a REAL, as in SQL. What cannot be kept exactly, and
// any field that is not known, is refused with its place in the body: KindInvalid.
//
// Decoding takes memory in proportion to the body, which the caller has bounded, and never recurses into it.
package sqljson
