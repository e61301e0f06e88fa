package sqldb

// charge begins to count the bytes of a statement that may make so many steps; perStep 0 counts none.
func (w *writer) charge(left, perStep int64) {
	w.perStep, w.grown = perStep, 0
	if perStep > 0 {
		w.before = w.UsedBytes()
		w.Charge(left * perStep)
	}
}

// grownWeight is how often a byte counts that is added to the database: it goes to the log, to a file, and into snapshots.
const grownWeight = 2

// charged is the steps that count for the bytes which the running statement has given to functions and added to the database.
func (w *writer) charged() int64 {
	if w.perStep <= 0 {
		return 0
	}
	bytes, _ := w.Charged()
	return (bytes + grownWeight*w.grown) / w.perStep
}

func (w *writer) lookAtSize() {
	if w.perStep > 0 && w.before >= 0 {
		w.grown = max(w.grown, w.UsedBytes()-w.before)
	}
}
