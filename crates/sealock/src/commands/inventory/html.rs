//! The report as one page: no script, nothing from elsewhere, and by its Content-Security-Policy neither could be
//! added by a name. Every text goes through [`escaped`], in [`Page`], the only place that writes what it is given.

use sealock_control::command::InventoryReport;

use super::{containers, issuer, left, minute, names, subject, summary};

/// The digest of the style is not in the policy: an inline style is permitted, and can load nothing.
const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
<meta name=\"referrer\" content=\"no-referrer\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";

const STYLE: &str = include_str!("report.css");

/// A page that is being written. Tags are constants of this module; everything else is escaped.
struct Page(String);

impl Page {
    fn tag(&mut self, tag: &'static str) {
        self.0.push_str(tag);
    }

    fn text(&mut self, text: &str) {
        self.0.push_str(&escaped(text));
    }

    fn element(&mut self, open: &'static str, text: &str, close: &'static str) {
        self.tag(open);
        self.text(text);
        self.tag(close);
    }

    /// A table with a caption; a row begins with its heading.
    fn table(&mut self, title: &str, headings: &[&str], rows: &[Vec<String>]) {
        self.element("<section>\n<h2>", title, "</h2>\n");
        if rows.is_empty() {
            self.tag("<p>Nothing.</p>\n</section>\n");
            return;
        }
        self.tag("<div class=\"wide\"><table>\n<thead><tr>");
        for heading in headings {
            self.element("<th scope=\"col\">", heading, "</th>");
        }
        self.tag("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.tag("<tr>");
            for (column, cell) in row.iter().enumerate() {
                match column {
                    0 => self.element("<th scope=\"row\">", cell, "</th>"),
                    _ => self.element("<td>", cell, "</td>"),
                }
            }
            self.tag("</tr>\n");
        }
        self.tag("</tbody>\n</table></div>\n</section>\n");
    }
}

/// The whole report.
pub(super) fn page(report: &InventoryReport) -> String {
    let mut page = Page(String::new());
    let title = format!("Certificates of {}", report.trust_domain);
    page.tag(HEAD);
    page.element("<title>", &title, "</title>\n");
    page.tag("<style>\n");
    page.tag(STYLE);
    page.tag("</style>\n</head>\n<body>\n");
    page.element("<h1>", &title, "</h1>\n");
    let made = format!("{} UTC, Sealock {}", minute(report.made), report.version);
    page.element("<p>", &made, "</p>\n");
    page.element("<p>", &summary(report), "</p>\n");
    for note in &report.notes {
        page.element("<p class=\"note\">", note, "</p>\n");
    }
    page.table(
        "Issuers",
        &["Subject", "Id", "Key", "Ends", "Left", "Used", "In force"],
        &issuers(report),
    );
    page.table(
        "Keys of the certificates below",
        &["Algorithm", "Bits", "Certificates"],
        &keys(report),
    );
    let headings = [
        "Name",
        "State",
        "Ends",
        "Left",
        "Profile",
        "Key",
        "Subject",
        "Names",
        "Issuer",
        "Container",
        "Serial",
    ];
    page.table("Certificates", &headings, &certificates(report));
    if report.left_out > 0 {
        let left_out = format!("{} more certificates are left out.", report.left_out);
        page.element("<p class=\"note\">", &left_out, "</p>\n");
    }
    page.table("To do", &["What", "Of", "Why", "Hint"], &to_do(report));
    page.tag("</body>\n</html>\n");
    page.0
}

fn issuers(report: &InventoryReport) -> Vec<Vec<String>> {
    let row = |one: &sealock_control::command::IssuerReport| {
        let seconds = (one.not_after.as_millis() - report.made.as_millis()).div_euclid(1000);
        vec![
            one.subject.clone(),
            one.id.clone(),
            one.key.clone(),
            minute(one.not_after),
            left(seconds),
            one.state(),
            one.in_force.to_string(),
        ]
    };
    report.issuers.iter().map(row).collect()
}

fn keys(report: &InventoryReport) -> Vec<Vec<String>> {
    let row = |one: &sealock_control::command::KeyTotal| {
        vec![one.algorithm.clone(), one.bits.to_string(), one.certificates.to_string()]
    };
    report.keys.iter().map(row).collect()
}

fn certificates(report: &InventoryReport) -> Vec<Vec<String>> {
    let row = |one: &sealock_control::command::ReportedCertificate| {
        let it = &one.certificate;
        let reason = it.reason.as_ref().filter(|_| it.revoked_at.is_some());
        vec![
            it.name.clone(),
            reason.map_or_else(|| it.state.clone(), |reason| format!("{} ({reason})", it.state)),
            minute(it.not_after),
            left(one.seconds_left),
            it.profile.clone(),
            format!("{} {}", one.algorithm, one.bits),
            subject(one).unwrap_or_default(),
            names(one),
            issuer(one),
            containers(one),
            it.serial.clone(),
        ]
    };
    report.certificates.iter().map(row).collect()
}

fn to_do(report: &InventoryReport) -> Vec<Vec<String>> {
    let row = |one: &sealock_control::command::ToDo| {
        let hint = one.hint.clone().unwrap_or_default();
        vec![one.kind.clone(), one.subject.clone(), one.reason.clone(), hint]
    };
    report.to_do.iter().map(row).collect()
}

/// A text as the content of an element or of a quoted attribute. What the eye cannot see, or what would turn the direction
/// of writing, is replaced: a name must look like what it is.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                safe.push('\u{fffd}');
            }
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
