package mysql

import "errors"

// Commands.
const (
	comQuit   = 0x01
	comInitDB = 0x02
	comQuery  = 0x03
	comPing   = 0x0e
)

// Bounds of what the probe's few queries can answer.
const (
	maxColumns = 128 // a replica's status has some sixty
	maxRows    = 32
)

// use makes name the session's database.
func (w *wire) use(name string) error {
	w.command(comInitDB)
	w.out = append(w.out, name...)
	return w.roundTrip()
}

// ping makes one round trip. It allocates nothing when all is well.
func (w *wire) ping() error {
	w.command(comPing)
	return w.roundTrip()
}

// exec runs a statement that has no rows.
func (w *wire) exec(sql string) error {
	w.command(comQuery)
	w.out = append(w.out, sql...)
	return w.roundTrip()
}

// roundTrip sends what was built and wants an OK packet. When the server
// closed in the meantime, its last words are read first: they may lie in the
// buffer although the write fails.
func (w *wire) roundTrip() error {
	sent := w.send()
	p, err := w.read()
	switch {
	case err != nil && sent != nil:
		return sent
	case err != nil:
		return err
	case p[0] == 0xff:
		return parseError(p)
	case p[0] != 0x00:
		return garbled("a packet %#x instead of OK", p[0])
	}
	return nil
}

// query runs a statement and returns its rows as text, "" for NULL.
func (w *wire) query(sql string) ([][]string, error) {
	_, rows, err := w.ask(sql)
	return rows, err
}

// ask runs a statement and returns the names of its columns, and its rows as
// text, "" for NULL.
func (w *wire) ask(sql string) (names []string, rows [][]string, err error) {
	w.command(comQuery)
	w.out = append(w.out, sql...)
	if err := w.send(); err != nil {
		return nil, nil, err
	}
	p, err := w.read()
	if err != nil {
		return nil, nil, err
	}
	columns, err := parseColumns(p)
	if err != nil {
		return nil, nil, err
	}
	for range columns {
		if p, err = w.read(); err != nil {
			return nil, nil, err
		}
		names = append(names, columnName(p))
	}
	if p, err = w.read(); err != nil {
		return nil, nil, err
	}
	if !isEnd(p) {
		return nil, nil, garbled("no end of the columns")
	}
	rows, err = w.rows(columns)
	return names, rows, err
}

// columnName reads a column's definition as far as its name, the fifth of its
// texts; "" where there is none.
func columnName(p []byte) string {
	c := cursor{b: p}
	var name []byte
	for range 5 {
		name, _ = c.value()
	}
	return string(name)
}

func (w *wire) rows(columns int) (rows [][]string, err error) {
	for {
		p, err := w.read()
		switch {
		case err != nil:
			return nil, err
		case isEnd(p):
			return rows, nil
		case p[0] == 0xff:
			return nil, parseError(p)
		case len(rows) == maxRows:
			return nil, errors.Join(errLong, garbled("more than %d rows", maxRows))
		}
		row, err := parseRow(p, columns)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
}

// isEnd reports whether p is the packet that ends columns or rows.
func isEnd(p []byte) bool { return p[0] == 0xfe && len(p) < 9 }

// parseColumns reads the head of a result: how many columns it has.
func parseColumns(p []byte) (int, error) {
	if p[0] == 0xff {
		return 0, parseError(p)
	}
	c := cursor{b: p}
	n, null := c.length()
	if c.bad || null || n == 0 || n > maxColumns || len(c.b) != 0 {
		return 0, garbled("no head of a result")
	}
	return int(n), nil
}

// parseRow reads one row in the text protocol.
func parseRow(p []byte, columns int) ([]string, error) {
	c := cursor{b: p}
	row := make([]string, columns)
	for i := range row {
		v, _ := c.value()
		row[i] = string(v)
	}
	if c.bad || len(c.b) != 0 {
		return nil, garbled("a broken row")
	}
	return row, nil
}
