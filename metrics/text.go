package metrics

import (
	"math"
	"strconv"
	"strings"

	"github.com/appserver-go/appserver/scoreboard"
)

// ContentType is that of the text format, version 0.0.4.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// encoder appends families of metrics in the text exposition format of Prometheus.
type encoder struct{ out []byte }

// head begins a family.
func (e *encoder) head(name, kind, help string) {
	e.out = append(e.out, "# HELP "+name+" "...)
	e.out = append(e.out, strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help)...)
	e.out = append(e.out, "\n# TYPE "+name+" "+kind+"\n"...)
}

// sample appends a line of a family. Labels are names and values in turn.
func (e *encoder) sample(name string, value float64, labels ...string) {
	e.out = append(e.out, name...)
	for i := 0; i+1 < len(labels); i += 2 {
		e.out = append(e.out, "{,"[min(i, 1)])
		e.out = append(e.out, labels[i]+`="`...)
		e.out = append(e.out, strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD"))...)
		e.out = append(e.out, '"')
	}
	if len(labels) > 0 {
		e.out = append(e.out, '}')
	}
	e.out = append(e.out, ' ')
	if math.IsInf(value, 1) {
		e.out = append(e.out, "+Inf"...)
	} else {
		e.out = strconv.AppendFloat(e.out, value, 'g', -1, 64)
	}
	e.out = append(e.out, '\n')
}

// histogram appends the lines of a family that is one: buckets count what is in those before them, too.
func (e *encoder) histogram(name string, h *scoreboard.Histogram) {
	total := int64(0)
	for i, bound := range scoreboard.Bounds() {
		total += h.Buckets[i]
		e.sample(name+"_bucket", float64(total), "le", strconv.FormatFloat(bound.Seconds(), 'g', -1, 64))
	}
	e.sample(name+"_bucket", float64(h.Count()), "le", "+Inf")
	e.sample(name+"_sum", h.Sum.Seconds())
	e.sample(name+"_count", float64(h.Count()))
}
