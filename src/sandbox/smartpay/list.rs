//! Lists: which rows are on a page, and what the page says of itself.

use super::answers::Fields;
use super::calls::Query;
use super::switches::{CountForm, Switches};

/// A page of these rows, as it is asked for and as the switches want it.
pub(super) fn page<T>(rows: &[T], query: &Query, switches: &Switches, show: impl Fn(&T) -> Fields) -> Fields {
    let size = query.number("pageSize").unwrap_or(10).clamp(1, switches.page_size_max.max(1));
    let number = query.number("page").unwrap_or(0);
    let total = rows.len() as u64;
    let shift = if number > 0 { switches.page_shift } else { 0 };
    let start = number.saturating_mul(size).saturating_add_signed(shift).min(total);
    let end = if switches.empty_data { start } else { start.saturating_add(size).min(total) };
    let shown: Vec<_> = rows[start as usize..end as usize].iter().map(show).collect();
    let count = match switches.count {
        CountForm::Right => Some(total),
        CountForm::TooFew => Some(total.saturating_sub(1)),
        CountForm::TooMany => Some(total + 1),
        CountForm::Missing => None,
    };
    let mut page = Fields::default().with("page", number).with("pageSize", size);
    if let Some(count) = count {
        page = page.with("count", count).with("totalPages", total.div_ceil(size));
    }
    page.with("data", shown)
}
