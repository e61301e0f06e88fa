package structs

import "strings"

// A database file comes into the cluster as an upload: a file that every server gathers, piece by piece, as
// CommandSQLUpload says, and that takes the place of a database in one entry. The leader has checked the
// file as a whole before the first piece, and drops what an earlier leader began.

// SQLUpload is what a row of the databases table has while its file is being gathered.
type SQLUpload struct {
	SizeBytes int64 // that have come; they never change again
}

// uploadPrefix begins the names of uploads' rows, which no database can have.
const uploadPrefix = "upload."

// UploadName is the name of the row of an upload.
func UploadName(id string) string { return uploadPrefix + id }

// UploadID is the id of the upload whose row has that name.
func UploadID(name string) string { return strings.TrimPrefix(name, uploadPrefix) }

// ValidUpload reports whether name may name the row of an upload.
func ValidUpload(name string) bool {
	id, ok := strings.CutPrefix(name, uploadPrefix)
	return ok && ValidDatabase(id)
}

// SQLUploadOp is what a SQLUploadRequest does.
type SQLUploadOp string

const (
	SQLUploadBegin   SQLUploadOp = "begin"
	SQLUploadAppend  SQLUploadOp = "append"
	SQLUploadInstall SQLUploadOp = "install" // the file is whole: it becomes the database, made anew or in the place of the old one
	SQLUploadDrop    SQLUploadOp = "drop"
)

// SQLUploadBytesMax bounds the Data of one request.
const SQLUploadBytesMax = 512 << 10

// SQLUploadRequest is a step of an upload (CommandSQLUpload). Reply: SQLDatabaseReply, with the database once it is
// installed, before with the upload's row.
type SQLUploadRequest struct {
	WriteOptions
	Op     SQLUploadOp
	ID     string // chosen by the leader, a name as of a database
	Offset int64  `codec:",omitempty"` // of Data, which is how much has come before; in install the size of the whole
	Data   []byte `codec:",omitempty"`
	// Database is what install makes: Name, PageBytes of the file, and the switches of a database that is new. One that
	// is there keeps its own.
	Database SQLDatabase
}

// ConflictKeys implements Conflicter: each step has an entry of its own.
func (r *SQLUploadRequest) ConflictKeys() []string { return nil }

// SQLRestoreRequest opens the stream "SQL.Restore", whose input is a SQLite file and whose output is one frame, a
// SQLDatabaseReply. Of Database it takes Name and the switches for one that is new.
type SQLRestoreRequest struct {
	QueryOptions
	Database SQLDatabase
}
