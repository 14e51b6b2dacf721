package monitoring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// What follows says again, apart from the program that prints the dashboard, what
// Grafana publishes about its model of one (schema version 39, of Grafana 10.4 to
// 11, in its package @grafana/schema): names, types, and which words are allowed.
// It covers the kinds of panel that ours has. Where Grafana's own model leaves
// things open (options of transformations, values of overrides), this does, too.

type (
	sDashboard struct {
		UID, Title, Description, Timezone, Refresh string
		Tags                                       []string
		Editable                                   bool
		GraphTooltip, SchemaVersion                int
		Time                                       struct{ From, To string }
		Templating                                 struct{ List []sVariable }
		Annotations                                struct{ List []sAnnotation }
		Links                                      []sLink
		Panels                                     []sPanel
	}
	sSource   struct{ Type, UID string }
	sVariable struct {
		Name, Label, Type, AllValue, Regex, Description string
		Datasource                                      *sSource
		Query                                           json.RawMessage // a text, or what the data source wants
		Refresh, Sort, Hide                             int
		Multi, IncludeAll, SkipURLSync                  bool
		Current                                         *struct {
			Selected bool
			Text     json.RawMessage // one or several
			Value    json.RawMessage
		}
	}
	sAnnotation struct {
		Name, IconColor string
		Datasource      sSource
		Enable, Hide    bool
		// The data source's own, beside Grafana's.
		Expr, TitleFormat, TextFormat, TagKeys, Step string
		UseValueForTime                              bool
	}
	sLink struct {
		Title, Type, URL, Icon, Tooltip                string
		Tags                                           []string
		AsDropdown, TargetBlank, IncludeVars, KeepTime bool
	}
	sGridPos struct{ H, W, X, Y int }
	sPanel   struct {
		ID                       int
		Type, Title, Description string
		GridPos                  sGridPos
		Datasource               *sSource
		Targets                  []sTarget
		FieldConfig              *struct {
			Defaults  sField
			Overrides []struct {
				Matcher    struct{ ID, Options string }
				Properties []struct {
					ID    string
					Value any
				}
			}
		}
		Options         json.RawMessage // of the kind of panel
		Transformations []struct {
			ID      string
			Options map[string]any
		}
		Collapsed bool // of a row
		Panels    []sPanel
	}
	sTarget struct {
		RefID, Expr, LegendFormat, Format, EditorMode string
		Datasource                                    sSource
		Instant, Range, Exemplar, Hide                bool
	}
	sField struct {
		Unit, NoValue string
		Decimals      *int
		Min, Max      *float64
		Color         *struct{ Mode, FixedColor string }
		Thresholds    *struct {
			Mode  string
			Steps []struct {
				Color string
				Value *float64
			}
		}
		Mappings []struct {
			Type    string
			Options map[string]struct {
				Text, Color, Icon string
				Index             int
			}
		}
		Custom json.RawMessage // of the kind of panel
	}
	sLegend struct {
		Calcs                  []string
		DisplayMode, Placement string
		ShowLegend             bool
	}
	sTooltip struct{ Mode, Sort string }
)

// sOptions and sCustom are what each kind of panel adds.
var (
	sOptions = map[string]func() any{
		"stat": func() any {
			return &struct {
				ColorMode, GraphMode, JustifyMode, Orientation, TextMode string
				WideLayout, ShowPercentChange                            bool
				ReduceOptions                                            struct {
					Calcs  []string
					Fields string
					Values bool
				}
			}{}
		},
		"timeseries": func() any {
			return &struct {
				Legend  sLegend
				Tooltip sTooltip
			}{}
		},
		"state-timeline": func() any {
			return &struct {
				MergeValues           bool
				ShowValue, AlignValue string
				RowHeight             float64
				Legend                sLegend
				Tooltip               sTooltip
			}{}
		},
		"table": func() any {
			return &struct {
				ShowHeader bool
				CellHeight string
				FrameIndex int
			}{}
		},
	}
	sCustom = map[string]func() any{
		"stat": func() any { return &struct{}{} },
		"timeseries": func() any {
			return &struct {
				DrawStyle, LineInterpolation, ShowPoints string
				LineWidth, FillOpacity                   float64
				SpanNulls                                bool
				Stacking                                 struct{ Mode, Group string }
			}{}
		},
		"state-timeline": func() any { return &struct{ FillOpacity, LineWidth float64 }{} },
		"table": func() any {
			return &struct {
				Align      string
				Filterable bool
			}{}
		},
	}
)

// sWords are the words that a key may have, wherever it stands.
var sWords = map[string][]string{
	"colorMode": {"none", "value", "background", "background_solid"}, "graphMode": {"none", "line", "area"}, "justifyMode": {"auto", "center"},
	"orientation": {"auto", "horizontal", "vertical"}, "textMode": {"auto", "value", "value_and_name", "name", "none"},
	"displayMode": {"list", "table", "hidden"}, "placement": {"bottom", "right"}, "sort": {"asc", "desc", "none"},
	"drawStyle": {"line", "bars", "points"}, "lineInterpolation": {"linear", "smooth", "stepBefore", "stepAfter"},
	"showPoints": {"auto", "never", "always"}, "showValue": {"auto", "never", "always"}, "alignValue": {"center", "left", "right"},
	"cellHeight": {"sm", "md", "lg", "auto"}, "align": {"auto", "left", "right", "center"}, "format": {"time_series", "table", "heatmap"},
	"editorMode": {"code", "builder"},
}

// sColors are those that a name of Grafana's palette stands for.
var sColors = []string{"text", "green", "yellow", "orange", "red", "blue", "purple", "dark-red", "light-red"}

// sModes are the ways in which a field gets its color.
var sModes = []string{"thresholds", "palette-classic", "palette-classic-by-name", "fixed", "shades"}

// sUnits are the formats of values that ours uses, by Grafana's names.
var sUnits = []string{"", "none", "s", "ops", "bytes", "dateTimeAsIso", "bool_yes_no"}

// strict decodes into v, and refuses what v has no place for, letter by letter.
func strict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	var raw any
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	return spelt(reflect.TypeOf(v), raw)
}

// sNames are the names in JSON that are not a field's own with a small letter.
var sNames = map[string]string{"UID": "uid", "ID": "id", "URL": "url", "RefID": "refId", "SkipURLSync": "skipUrlSync"}

// spelt holds the case of each key to the type's fields: Go's decoder does not.
func spelt(typ reflect.Type, raw any) error {
	switch typ.Kind() {
	case reflect.Pointer:
		return spelt(typ.Elem(), raw)
	case reflect.Slice:
		list, _ := raw.([]any) // json.RawMessage is no list of its bytes
		for _, e := range list {
			if err := spelt(typ.Elem(), e); err != nil {
				return err
			}
		}
	case reflect.Struct:
		object, _ := raw.(map[string]any)
		fields := map[string]reflect.Type{}
		for f := range typ.Fields() {
			name := sNames[f.Name]
			if name == "" {
				name = strings.ToLower(f.Name[:1]) + f.Name[1:]
			}
			fields[name] = f.Type
		}
		for key, e := range object {
			if fields[key] == nil {
				return fmt.Errorf("the key %q is spelt otherwise", key)
			}
			if err := spelt(fields[key], e); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseDashboard reads a dashboard, and says all that is not as Grafana publishes it.
func parseDashboard(data []byte) (d sDashboard, wrong []error) {
	if err := strict(data, &d); err != nil {
		return d, []error{err}
	}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		if sOptions[p.Type] == nil {
			say("panel %d: no kind of panel is called %q", p.ID, p.Type)
			continue
		}
		if err := strict(p.Options, sOptions[p.Type]()); err != nil {
			say("panel %d, options: %w", p.ID, err)
		}
		if custom := p.FieldConfig.Defaults.Custom; custom != nil {
			if err := strict(custom, sCustom[p.Type]()); err != nil {
				say("panel %d, custom: %w", p.ID, err)
			}
		}
		wrong = append(wrong, p.FieldConfig.Defaults.check(p.ID)...)
		for _, tr := range p.Transformations {
			if tr.ID != "merge" && tr.ID != "organize" {
				say("panel %d: transformation %q", p.ID, tr.ID)
			}
		}
		for _, o := range p.FieldConfig.Overrides {
			if o.Matcher.ID != "byName" || len(o.Properties) != 1 || o.Properties[0].ID != "unit" && o.Properties[0].ID != "color" {
				say("panel %d: override %+v", p.ID, o)
			}
		}
	}
	for _, v := range d.Templating.List {
		if !slices.Contains([]string{"query", "datasource", "custom", "constant", "interval", "textbox", "adhoc", "groupby"}, v.Type) || v.Refresh < 0 || v.Refresh > 2 || v.Sort < 0 || v.Sort > 8 {
			say("the variable %s: type %s, refresh %d, sort %d", v.Name, v.Type, v.Refresh, v.Sort)
		}
	}
	var any any
	_ = json.Unmarshal(data, &any)
	return d, append(wrong, spelling(any)...)
}

// check holds a field's colors, units and thresholds to what Grafana knows.
func (f sField) check(panel int) (wrong []error) {
	if !slices.Contains(sUnits, f.Unit) {
		wrong = append(wrong, fmt.Errorf("panel %d: unit %q", panel, f.Unit))
	}
	if f.Color != nil && !slices.Contains(sModes, f.Color.Mode) {
		wrong = append(wrong, fmt.Errorf("panel %d: colors by %q", panel, f.Color.Mode))
	}
	for _, m := range f.Mappings {
		for value, to := range m.Options {
			if m.Type != "value" || !slices.Contains(sColors, to.Color) {
				wrong = append(wrong, fmt.Errorf("panel %d: %s is mapped by %q to the color %q", panel, value, m.Type, to.Color))
			}
		}
	}
	if f.Thresholds == nil {
		return wrong
	}
	if f.Thresholds.Mode != "absolute" && f.Thresholds.Mode != "percentage" {
		wrong = append(wrong, fmt.Errorf("panel %d: thresholds of mode %q", panel, f.Thresholds.Mode))
	}
	for i, s := range f.Thresholds.Steps {
		if (i == 0) != (s.Value == nil) || i > 1 && *s.Value <= *f.Thresholds.Steps[i-1].Value {
			wrong = append(wrong, fmt.Errorf("panel %d: thresholds begin with null, and rise", panel))
		}
		if !slices.Contains(sColors, s.Color) {
			wrong = append(wrong, fmt.Errorf("panel %d: color %q", panel, s.Color))
		}
	}
	return wrong
}

// spelling walks through everything and checks the words.
func spelling(v any) (wrong []error) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			wrong = append(wrong, spelling(e)...)
		}
	case map[string]any:
		for key, e := range v {
			text, isText := e.(string)
			if allowed := sWords[key]; isText && allowed != nil && !slices.Contains(allowed, text) {
				wrong = append(wrong, fmt.Errorf("%s is %q, not one of %v", key, text, allowed))
			}
			wrong = append(wrong, spelling(e)...)
		}
	}
	return wrong
}
