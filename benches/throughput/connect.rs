//! What the fake answers for Nexway Connect. Subscription N of order `BENCH-N` is at generation 1 when N is divisible by 20, else at 0.

pub fn answer(request: &str, head: usize) -> String {
    if request.starts_with("POST /iam/tokens") {
        return r#"{"access_token":"bench","expires_in":3600,"token_type":"bearer"}"#.to_owned();
    }
    if let Some(path) = request.strip_prefix("GET /connect/order/") {
        let number = path.split(' ').next().unwrap_or_default();
        let id = number.split('-').nth(1).unwrap_or_default();
        return format!(
            r#"{{"partnerOrderNumber":"{number}","orderNumber":12567638,"orderLines":[{{"productRef":811537,"dateEndDownload":"2019-02-08","digitalLockerLink":"","remark":"","responseCode":0,"responseMessage":"","files":[{{"label":"Product - setup","type":"install","url":"http://cdn.example/file.exe","size":0.96,"group":""}}],"lineItems":[{{"subscriptionId":{id},"responseCode":0,"responseMessage":"","serials":[{{"data":"KEY-{number}","encoding":"text","charset":"utf-8","fileName":""}}]}}]}}],"downloadManager":null,"responseCode":0,"responseMessage":"OK"}}"#
        );
    }
    let id = request[head..].split(r#""subscriptionId":"#).nth(1).unwrap_or_default();
    let id: u64 = id.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(1);
    let generation = u8::from(id.is_multiple_of(20));
    let suffix = if generation == 1 { "-1" } else { "" };
    format!(
        r#"{{"partnerOrderNumber":"BENCH-{id}{suffix}","productRef":811537,"period":"P1Y","generation":{generation},"technicalStatus":"ACTIVE","creation_datetime":"2018-01-18T15:40:21+01:00","update_datetime":"2019-01-18T15:41:02+01:00","expiration_datetime":"2031-01-18T15:40:21+01:00","next_status_change_datetime":"2030-01-03T00:00:00+01:00","currency":"USD","amount":29.99,"code":0,"message":"OK"}}"#
    )
}
