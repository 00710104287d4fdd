package enrich

import (
	"unicode/utf8"

	"github.com/mileusna/useragent"

	"github.com/sluice-etl/sluice/internal/columns"
)

const (
	longestAgent = 512  // bytes; what stands behind them is not looked at
	mostAgents   = 4096 // that are remembered; few sites see more in an hour
)

// userAgent is the step user_agent(column).
type userAgent struct{ column string }

// agent is what a User-Agent header says of its sender.
type agent struct{ family, version, os, device string }

// agentAction reads User-Agent headers. The same ones come again and again, and so each is taken apart once, until as many
// are known as are remembered; then it begins anew.
type agentAction struct {
	from, to int // to is the first of four
	known    map[string]agent
}

func (u *userAgent) adds() []string {
	return []string{u.column + "_family", u.column + "_version", u.column + "_os", u.column + "_device"}
}

func (u *userAgent) bind(b *binding) (action, error) {
	from, err := b.text(u.column)
	if err != nil {
		return nil, err
	}
	a := &agentAction{from: from, to: len(b.fields), known: map[string]agent{}}
	for _, name := range u.adds() {
		if _, err := b.add(name, columns.String); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *agentAction) do(t *columns.Table, row int) bool {
	from := &t.Columns[a.from]
	var known agent
	if from.Valid[row] {
		known = a.find(from.TextAt(row))
	}
	for i, value := range [...]string{known.family, known.version, known.os, known.device} {
		appendOrNull(&t.Columns[a.to+i], value)
	}
	return true
}

func (a *agentAction) find(text []byte) agent {
	if n := longestAgent; len(text) > n {
		for !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	if known, ok := a.known[string(text)]; ok {
		return known
	}
	if len(a.known) >= mostAgents {
		clear(a.known)
	}
	header := string(text)
	found := parseAgent(header)
	a.known[header] = found
	return found
}

func parseAgent(header string) agent {
	ua := useragent.Parse(header)
	a := agent{family: ua.Name, version: ua.Version, os: ua.OS}
	switch {
	case ua.Bot:
		a.device = "bot"
	case ua.Tablet:
		a.device = "tablet"
	case ua.Mobile:
		a.device = "mobile"
	case ua.Desktop:
		a.device = "desktop"
	}
	switch a.family {
	case "-": // how access logs write that there is no header
		a.family = ""
	case "Trident": // the engine; the browser's last version has no other name
		a.family, a.version = useragent.InternetExplorer, "11.0"
	}
	return a
}

// appendOrNull adds a text that is null where it is empty.
func appendOrNull(c *columns.Column, text string) {
	if text == "" {
		c.AppendNull()
		return
	}
	c.AppendString(text)
}
