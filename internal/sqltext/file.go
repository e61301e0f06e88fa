package sqltext

import (
	"errors"
	"regexp"
)

var (
	kept         = regexp.MustCompile(`(?i)^pragma\s+(main\s*\.\s*)?(user_version|application_id)\s*[=(]`)
	planner      = regexp.MustCompile(`(?i)^(insert\s+into|delete\s+from|drop\s+table(\s+if\s+exists)?)\s+["\[` + "`" + `]?sqlite_stat[134]\b`)
	errRollsBack = errors.New("the file ends its transaction with ROLLBACK: what wrote it met an error, so it is not complete")
)

// FileOnly reports that a statement is about the file or the connection that reads it: batches are transactions
// already, settings are the database's own, and the planner's statistics come from ANALYZE.
func FileOnly(statement string) (bool, error) {
	switch FirstWord(statement) {
	case "begin", "commit", "end", "savepoint", "release":
		return true, nil
	case "rollback":
		return false, errRollsBack
	case "pragma":
		return !kept.MatchString(statement), nil
	case "insert", "delete", "drop":
		return planner.MatchString(statement), nil
	}
	return false, nil
}
